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

    @asynccontextmanager
    async def enforced(self) -> AsyncIterator[None]:
        """Ends the block when the moment comes. Raises DeadlinePassed."""
        try:
            async with asyncio.timeout_at(self.at):
                yield
        except TimeoutError:
            raise DeadlinePassed(self.timeout_s) from None
