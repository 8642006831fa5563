"""HTTP/1.1 client with little overhead, since it shares the CPU with the server: keep-alive, prebuilt requests."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, cast

import httptools

_BOUNDARY = "benchmark-boundary-7d1f0c"


@dataclass(frozen=True, slots=True)
class Target:
    """The address and the bytes of a request."""

    port: int
    request: bytes
    host: str = "127.0.0.1"


def raw(port: int, path: str, body: bytes, *, kind: str) -> Target:
    """Builds a POST with this body and media type."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Target(port, head.encode() + body)


def multipart(port: int, path: str, image: bytes, *, field: str, kind: str) -> Target:
    """Builds a POST of one file in a form field, as curl -F sends it."""
    disposition = f'Content-Disposition: form-data; name="{field}"; filename="image"'
    opening = f"--{_BOUNDARY}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()
    body = opening + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return raw(port, path, body, kind=f"multipart/form-data; boundary={_BOUNDARY}")


class Connection(asyncio.Protocol):
    """A keep-alive connection with at most one request in progress."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[int] | None = None
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    @property
    def body(self) -> bytes:
        """The body of the last response."""
        return b"".join(self._parts)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> int:
        """Sends a request and returns the status. Raises ConnectionError if the server closes the connection early."""
        if self._transport is None or not self.is_open:
            raise ConnectionError("The server has closed the connection.")
        self._answered = asyncio.get_running_loop().create_future()
        self._parts.clear()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but for its base classes

    def connection_lost(self, _: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("The server hung up within an answer."))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(self._parser.get_status_code())


async def connect(target: Target) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, target.host, target.port)
    return connection


def answer(target: Target) -> Any:
    """Returns the JSON response. Raises RuntimeError for any status but 200."""

    async def once() -> tuple[int, bytes]:
        connection = await connect(target)
        status = await connection.ask(target.request)
        connection.close()
        return status, connection.body

    status, body = asyncio.run(once())
    if status != 200:
        raise RuntimeError(f"port {target.port} answers {status}: {body[:500]!r}")
    return json.loads(body)
