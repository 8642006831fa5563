"""Until when an answer is worth having."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.errors import DeadlinePassed


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the event loop's clock, and how many seconds there were until it."""

    at: float
    timeout_s: float

    @classmethod
    def after(cls, timeout_s: float) -> "Deadline":
        return cls(asyncio.get_running_loop().time() + timeout_s, timeout_s)

    def sooner(self, timeout_s: float | None) -> "Deadline":
        """This one, or the moment so many seconds after its beginning if that comes before."""
        if timeout_s is None or timeout_s >= self.timeout_s:
            return self
        return Deadline(self.at - self.timeout_s + timeout_s, timeout_s)

    @asynccontextmanager
    async def enforced(self) -> AsyncIterator[None]:
        """Ends the block when the moment comes. Raises DeadlinePassed."""
        try:
            async with asyncio.timeout_at(self.at):
                yield
        except TimeoutError:
            raise DeadlinePassed(self.timeout_s) from None
