"""Connection limits in bytes and seconds that uvicorn lacks: without them a caller could hold memory forever."""

import socket
from asyncio import BaseTransport, TimerHandle

import orjson
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.errors import MalformedRequest
from service.http.middleware.browser_security import SECURITY_HEADERS

HEAD_BYTES = 64 * 1024
HEAD_S = 15.0  # from the connection, or a request's first byte, to the end of its headers
LINGER_S = 5.0  # for the rest of a body that was answered before it had arrived
UNREAD_S = 60.0  # for a caller to read its response
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)  # on Linux only


def install() -> None:
    """Makes BoundedProtocol the protocol that uvicorn calls "auto", the only one BentoML can select."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedProtocol.__name__}"


class BoundedProtocol(HttpToolsProtocol):
    """An HTTP protocol that closes connections with missing requests, endless headers or unread responses.

    The body has limits of its own: its size (STRIATE_MAX_UPLOAD_BYTES) and the request's deadline.
    """

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._silent_bytes = 0  # parsed since the last event
        self._in_head = False
        self._closing: TimerHandle | None = None
        self._close_in(HEAD_S)
        connection = transport.get_extra_info("socket")
        if _USER_TIMEOUT is not None and connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(1e3 * UNREAD_S))

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_closing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._silent_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._silent_bytes > HEAD_BYTES:
            self.send_400_response(f"The headers do not end within {HEAD_BYTES:,} bytes.")
        elif self._in_head and self._closing is None:
            self._close_in(HEAD_S)

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._silent_bytes, self._in_head = 0, False
        self._cancel_closing()
        super().on_headers_complete()
        self.headers = []  # uvicorn would add a chunked body's trailers to the headers

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._silent_bytes = 0
        if self._closing is not None:  # the rest of a body that was answered before it had arrived
            self._close_in(self.timeout_keep_alive)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._close_in(LINGER_S)

    def send_400_response(self, msg: str) -> None:
        """Sends a parser error in this service's format, unless it could pass for another request's response."""
        if self.cycle is None or self.cycle.response_complete or not (self.cycle.response_started or self.pipeline):
            error = MalformedRequest(msg)
            body = orjson.dumps({"error": str(error), "code": error.code})
            headers = [
                *SECURITY_HEADERS, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"), (b"x-striate-error", error.code.encode()),
            ]  # fmt: skip
            head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + body)
        if self.cycle is not None:
            self.cycle.disconnected = True  # discards the response of a running handler
        self.transport.close()

    def _should_upgrade_to_ws(self) -> bool:
        return False  # a WebSocket would bypass this application and reach BentoML's

    def _close_in(self, seconds: float) -> None:
        self._cancel_closing()
        self._closing = self.loop.call_later(seconds, self.transport.close)

    def _cancel_closing(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
