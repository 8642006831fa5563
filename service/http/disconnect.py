"""The end of a request whose caller has gone or whose deadline has passed."""

import asyncio
from types import TracebackType

from starlette.types import Receive

from service.errors import CallerGone, DeadlinePassed
from service.scheduling.deadline import Deadline

_SOON_S = 0.02


class DisconnectWatch:
    """async with Attended(receive, deadline) as attended: ends the block when time is over.

    receive: ASGI's. Once read() has been told, the block ends too when the caller closes the connection. Raises
    DeadlinePassed, CallerGone.
    """

    def __init__(self, receive: Receive, deadline: Deadline) -> None:
        self._receive = receive
        self._deadline: Deadline | None = deadline
        self._gone = False
        self._later: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "DisconnectWatch":
        self._scope = asyncio.timeout_at(self._deadline.at if self._deadline else None)
        await self._scope.__aenter__()
        return self

    def read(self, deadline: Deadline | None) -> None:
        """The request has been read. deadline: from now on; None where the parts of the work keep it each by itself."""
        if deadline is not self._deadline:
            self._deadline = deadline
            self._scope.reschedule(deadline.at if deadline else None)
        # Most answers are sooner than a task that looks out for the caller's going would pay.
        self._later = asyncio.get_running_loop().call_later(_SOON_S, self._watch)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._later:
            self._later.cancel()
        if self._watcher:
            self._watcher.cancel()
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            if self._deadline is None or self._gone:
                raise CallerGone from None
            raise DeadlinePassed(self._deadline.timeout_s) from None

    def _watch(self) -> None:
        self._watcher = asyncio.create_task(self._end_when_gone())

    async def _end_when_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._scope.reschedule(asyncio.get_running_loop().time())
