"""HTTP connections with strict bounds of what callers send, which uvicorn lacks, for every route alike."""

from asyncio import BaseTransport
from time import monotonic  # the event loop's clock

from uvicorn.config import HTTP_PROTOCOLS

from models.errors import StriateError
from service.http import pace
from service.http.errors import MalformedRequest, TooFarAhead
from service.http.last_words import last_words
from service.http.paced_connection import PacedProtocol, disconnect
from service.http.request_head import HEAD_BYTES, check_head, head_too_long

AHEAD_BYTES, AHEAD_REQUESTS = 64 * 1024, 16  # that a caller may send before the answer to what it sent before
DISCARDED_BYTES = 2**20  # that a caller may still send when the connection ends; more is answered with a reset


def install(*, timeout_s: float) -> None:
    """Makes BoundedProtocol the protocol that uvicorn calls "auto", the only one BentoML can select."""
    BoundedProtocol.timeout_s = timeout_s
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedProtocol.__name__}"


class BoundedProtocol(PacedProtocol):
    """An HTTP protocol with strict bounds of what it parses.

    uvicorn's `cycle` is the request that came last; requests that were sent ahead wait in `pipeline` meanwhile.
    """

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._silent_bytes = 0  # parsed since the last event
        self._ahead_bytes = 0  # sent since the pipeline was empty
        self._last_words = b""

    def data_received(self, data: bytes) -> None:
        self._silent_bytes += len(data)
        if self._ends:
            if self._silent_bytes > DISCARDED_BYTES and not self._is_answering:
                self.end()
            return
        if self._is_answering and not self._sends:
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
            self._behind_since = monotonic()

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
        """Raises MalformedRequest, TooFarAhead."""
        check_head(self.url, self.headers, self.parser.get_http_version())
        if len(self.pipeline) >= AHEAD_REQUESTS:
            raise _too_far_ahead()

    def refuse(self, error: StriateError) -> None:
        """Gives up every request of the connection, in favour of an error."""
        self.pipeline.clear()
        self._drop()
        self._stop(error)

    def _stop(self, error: StriateError) -> None:
        """Reads nothing more; the requests that came before are answered, then the error, and the connection ends."""
        self._ends, self._last_words = True, last_words(error)
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self._drop()  # the rest of its body will not be read
        if not self._is_answering:
            self._end_after_last_words()

    def _drop(self) -> None:
        """Gives up the request that came last."""
        if self.pipeline:
            self.pipeline.popleft()
        elif self._running is not None:
            disconnect(self._running)
            if self._running.response_started:
                self._last_words = b""  # they could pass for a part of its answer
            self._running = None

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
        self._behind_since = monotonic()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # begins with the next request that was sent ahead
        if not self.pipeline:
            self._ahead_bytes = 0
        if self._ends and not self._is_answering:
            self._end_after_last_words()


def _too_far_ahead() -> TooFarAhead:
    return TooFarAhead(requests=AHEAD_REQUESTS, nbytes=AHEAD_BYTES)
