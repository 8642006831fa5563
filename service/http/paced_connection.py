"""HTTP connections that wait for their callers only so long, whichever route a request is for."""

import asyncio
import math
from abc import abstractmethod
from asyncio import BaseTransport
from functools import partial
from time import monotonic  # the event loop's clock
from typing import ClassVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from models.errors import StriateError
from service.errors import DeadlinePassed
from service.http import pace
from service.http.connection_limit import make_room, most_connections, most_waiting
from service.http.errors import BodyTooSlow, TooManyConnections
from service.http.middleware.access_log import PROBES
from service.http.pace import Pace, has_unread, pieces, set_options

TICK_S = 1.0
PAUSE_S = 0.02  # between two packets, or two requests, of a caller who goes on
PATIENCE_S = 5.0  # for a request on a connection beyond the most


class PacedProtocol(HttpToolsProtocol):
    """An HTTP protocol that ends what callers begin and do not go on with, and whose answers take little memory."""

    timeout_s = 30.0  # for a body to arrive; the handler may have a sooner deadline
    waiting: ClassVar = 0  # requests on connections beyond the most

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._running: RequestResponseCycle | None = None  # the request that is being answered
        self._sends = False  # its answer
        self._ends = False  # nothing more is parsed
        self._late: StriateError | None = None
        self._begun = self._behind_since = monotonic()
        self._ticking = self.loop.call_later(TICK_S, self._tick)
        self._is_surplus = not self._has_room()
        set_options(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._ticking.cancel()
        self.pipeline.clear()
        if self._running is not None:
            disconnect(self._running)
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self._running, self._sends, self._late = cycle, False, None
        self._begun = self._behind_since = monotonic()
        super()._start_asgi_task(cycle, partial(self._answer, app, cycle))

    async def _answer(
        self, app: ASGIApp, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Runs the application; it ends when all but the last piece of its answer has been taken by the caller.

        Whoever holds memory for the answer can therefore give it back when `send` returns.
        """

        async def send_in_pieces(message: Message) -> None:
            if not self._sends:
                self._sends, self._behind_since = True, monotonic()
            for piece in pieces(message):
                if self.flow.write_paused:
                    await self.flow.drain()
                if self.transport.is_closing():
                    cycle.disconnected = True  # uvicorn would write, which is an error now
                await send(piece)
                if piece is not message:
                    self._catch_up(len(piece["body"]), pace.ANSWER)

        if not self._is_surplus or await self._is_let_in(scope["path"]):
            await app(scope, partial(self._receive_in_time, receive), send_in_pieces)

    async def _receive_in_time(self, receive: Receive) -> Message:
        """Raises BodyTooSlow, DeadlinePassed."""
        if self.transport.is_closing():
            return {"type": "http.disconnect"}  # uvicorn would go on reading, which is an error now
        message = await receive()
        if self._late is not None:
            raise self._late
        return message

    def on_response_complete(self) -> None:
        super().on_response_complete()  # begins with the next request that was sent ahead
        if not self._is_answering:
            self._behind_since = monotonic()

    @property
    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _awaited(self) -> Pace | None:
        """Returns the pace that the caller must keep; None while it waits for its answer."""
        running = self._running
        if running is None or running.response_complete:
            if self.transport.get_write_buffer_size():
                return pace.ANSWER
            return pace.REST if self._ends or (self.cycle is not None and self.cycle.more_body) else pace.HEAD
        if self._sends:
            return pace.ANSWER
        return pace.BODY if running.more_body and not self.flow.read_paused else None

    def _catch_up(self, nbytes: int, at: Pace) -> None:
        self._behind_since = at.caught_up(self._behind_since, nbytes, monotonic())

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(TICK_S, self._tick)
        awaited, now = self._awaited(), monotonic()
        if awaited is pace.BODY and now > self._begun + self.timeout_s:
            self._interrupt(DeadlinePassed(self.timeout_s))
        elif awaited is None or now <= self._behind_since + awaited.seconds:
            return
        elif awaited is pace.BODY:
            self._interrupt(BodyTooSlow(seconds=awaited.seconds, bytes_per_s=awaited.bytes_per_s))
        else:
            self.end()

    def _interrupt(self, error: StriateError) -> None:
        """Raises the error in the handler that waits for the body."""
        if self._running is not None:
            self._late = error
            self._running.message_event.set()

    @abstractmethod
    def refuse(self, error: StriateError) -> None:
        """Answers with an error instead, and ends the connection."""

    def behind_since(self) -> float:
        """See connection_limit.Waiting."""
        awaited = self._awaited()
        if awaited is None:
            return math.inf
        has_begun = self.cycle is not None and awaited is not pace.REST
        return self._behind_since + has_begun * PAUSE_S

    def has_sent(self) -> bool:
        return self._awaited() in (pace.HEAD, pace.BODY) and not self.flow.read_paused and has_unread(self.transport)

    def end(self) -> None:
        self.transport.abort()

    def _has_room(self) -> bool:
        """Returns whether this is one of the most connections, if need be in the place of others that are silent."""
        if len(self.connections) <= most_connections():
            return True
        return make_room(self.connections - {self}, now=monotonic())  # type: ignore[arg-type]

    async def _is_let_in(self, path: str) -> bool:
        """Waits for room, and refuses the request where there is none; probes need none."""
        if path in PROBES:
            return True
        self._is_surplus = not self._has_room() and not await self._gets_room()
        if self._is_surplus:
            self.refuse(TooManyConnections(most_connections()))
        return not self._is_surplus

    async def _gets_room(self) -> bool:
        """Waits a while for connections that become silent, or end; not where too many wait already."""
        until = monotonic() + PATIENCE_S
        if PacedProtocol.waiting >= most_waiting():
            return False
        PacedProtocol.waiting += 1
        try:
            while monotonic() < until and not self.transport.is_closing():
                await asyncio.sleep(TICK_S / 10)
                if self._has_room():
                    return True
        finally:
            PacedProtocol.waiting -= 1
        return False


def disconnect(cycle: RequestResponseCycle) -> None:
    """Tells a handler that its caller has gone, and discards what it still sends."""
    if not cycle.response_complete:
        cycle.disconnected = True
    cycle.message_event.set()
