"""HTTP connections with bounds that uvicorn lacks: of bytes, seconds, rates and requests, for every route alike."""

import math
from asyncio import BaseTransport
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from models.errors import StriateError
from service.errors import DeadlinePassed
from service.http import pace
from service.http.connection_limit import make_room, most_connections
from service.http.errors import BodyTooSlow, MalformedRequest, TooFarAhead, TooManyConnections
from service.http.last_words import last_words
from service.http.middleware.access_log import PROBES
from service.http.pace import Pace, pieces, set_options
from service.http.request_head import HEAD_BYTES, check_head, head_too_long

AHEAD_BYTES, AHEAD_REQUESTS = 64 * 1024, 16  # that a caller may send before the answer to what it sent before
DISCARDED_BYTES = 2**20  # that a caller may still send when the connection ends; more is answered with a reset
STALLED_S = 1.0  # in the middle of a body or an answer, before the connection may have to make room
TICK_S = 1.0


def install(*, timeout_s: float) -> None:
    """Makes BoundedProtocol the protocol that uvicorn calls "auto", the only one BentoML can select."""
    BoundedProtocol.timeout_s = timeout_s
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedProtocol.__name__}"


class BoundedProtocol(HttpToolsProtocol):
    """An HTTP protocol that ends what callers begin and do not go on with, whichever route it is for.

    uvicorn's `cycle` is the request that came last; requests that were sent ahead wait in `pipeline` meanwhile.
    """

    timeout_s = 30.0  # for a body to arrive; the handler may have a sooner deadline

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._running: RequestResponseCycle | None = None  # the request that is being answered
        self._silent_bytes = 0  # parsed since the last event
        self._ahead_bytes = 0  # sent since the pipeline was empty
        self._ends, self._last_words = False, b""  # nothing more is parsed
        self._late: StriateError | None = None
        self._begun = self._behind_since = self.loop.time()
        self._ticking = self.loop.call_later(TICK_S, self._tick)
        self._is_surplus = len(self.connections) > most_connections() and not self._make_room()
        set_options(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._ticking.cancel()
        self.pipeline.clear()
        if self._running is not None:
            _disconnect(self._running)
        super().connection_lost(exc)

    # What the caller sends

    def data_received(self, data: bytes) -> None:
        self._silent_bytes += len(data)
        if self._ends:
            if self._silent_bytes > DISCARDED_BYTES and not self._is_answering:
                self.end()
            return
        if self._is_answering:
            self._catch_up(len(data), pace.BODY)
        super().data_received(data)
        if self._silent_bytes > HEAD_BYTES and not self._ends:
            self._stop(head_too_long())
        elif self.pipeline:
            self._ahead_bytes += len(data)
            self.flow.resume_reading()  # or nobody would notice when the caller leaves
            if self._ahead_bytes > AHEAD_BYTES and not self._ends:
                self._stop(_too_far_ahead())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._is_answering:
            self._behind_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._silent_bytes = 0
        try:
            self._check_request()
        except StriateError as error:
            self._stop(error)
            raise  # ends the parser
        super().on_headers_complete()
        self.headers = []  # uvicorn would add a chunked body's trailers to the headers

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._silent_bytes = 0
        super().on_message_complete()
        self.cycle.more_body = False  # also where it was answered before

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn where the parser has ended, by itself or by an error in a callback."""
        if not self._ends:
            self._stop(MalformedRequest(msg))

    def _should_upgrade_to_ws(self) -> bool:
        return False  # a WebSocket would bypass this application and reach BentoML's

    def _check_request(self) -> None:
        """Raises MalformedRequest, TooFarAhead, TooManyConnections."""
        check_head(self.url, self.headers, self.parser.get_http_version())
        if len(self.pipeline) >= AHEAD_REQUESTS:
            raise _too_far_ahead()
        if self._is_surplus and self.url.partition(b"?")[0].decode("latin-1") not in PROBES:
            raise TooManyConnections(most_connections())

    def _stop(self, error: StriateError) -> None:
        """Reads nothing more; the requests that came before are answered, then the error, and the connection ends."""
        self._ends, self._last_words = True, last_words(error)
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self._drop(self.cycle)  # the rest of its body will not be read
        if not self._is_answering:
            self._end_after_last_words()

    def _drop(self, cycle: RequestResponseCycle) -> None:
        """Gives up the request that came last."""
        if self.pipeline:
            self.pipeline.popleft()
            return
        self._running = None
        _disconnect(cycle)
        if cycle.response_started:
            self._last_words = b""  # they could pass for a part of its answer

    def _end_after_last_words(self) -> None:
        """Closes this direction, and waits for the caller to close the other: a reset could overtake the answer."""
        self._running = None
        self._silent_bytes = 0
        if self.transport.is_closing():
            return
        self.transport.write(self._last_words)
        if not self.transport.can_write_eof():  # TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._behind_since = self.loop.time()

    # What the caller gets

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self._running, self._late = cycle, None
        self._begun = self._behind_since = self.loop.time()
        if not self.pipeline:
            self._ahead_bytes = 0
        super()._start_asgi_task(cycle, partial(self._answer, app, cycle))

    async def _answer(
        self, app: ASGIApp, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Runs the application; it ends when all but the last piece of its answer has been taken by the caller.

        Whoever holds memory for the answer can therefore give it back when `send` returns.
        """

        async def receive_in_time() -> Message:
            if self.transport.is_closing():
                return {"type": "http.disconnect"}  # uvicorn would go on reading, which is an error now
            message = await receive()
            if self._late is not None:
                raise self._late
            return message

        async def send_piece(message: Message) -> None:
            if self.flow.write_paused:
                await self.flow.drain()
            if self.transport.is_closing():
                cycle.disconnected = True  # uvicorn would write, which is an error now
            if message["type"] == "http.response.start":
                self._behind_since = self.loop.time()
            await send(message)
            self._catch_up(len(message.get("body", b"")), pace.ANSWER)

        async def send_in_pieces(message: Message) -> None:
            for piece in pieces(message):
                await send_piece(piece)

        await app(scope, receive_in_time, send_in_pieces)

    def on_response_complete(self) -> None:
        super().on_response_complete()  # begins with the next request that was sent ahead
        if self._is_answering:
            return
        self._behind_since = self.loop.time()
        if self._ends:
            self._end_after_last_words()

    # Who is waited for, and for how long

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
        if running.response_started:
            return pace.ANSWER
        return pace.BODY if running.more_body and not self.flow.read_paused else None

    def _catch_up(self, nbytes: int, at: Pace) -> None:
        self._behind_since = at.caught_up(self._behind_since, nbytes, self.loop.time())

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(TICK_S, self._tick)
        awaited, now = self._awaited(), self.loop.time()
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

    def behind_since(self) -> float:
        """See connection_limit.Waiting."""
        awaited = self._awaited()
        in_the_middle = awaited in (pace.BODY, pace.ANSWER)
        if awaited is None or (in_the_middle and self.loop.time() < self._behind_since + STALLED_S):
            return math.inf
        return self._behind_since

    def end(self) -> None:
        self.transport.abort()

    def _make_room(self) -> bool:
        others = self.connections - {self}
        return make_room(others, most=most_connections())  # type: ignore[arg-type]


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Tells a handler that its caller has gone, and discards what it still sends."""
    if not cycle.response_complete:
        cycle.disconnected = True
    cycle.message_event.set()


def _too_far_ahead() -> TooFarAhead:
    return TooFarAhead(requests=AHEAD_REQUESTS, nbytes=AHEAD_BYTES)
