"""A lean HTTP/1.1 client: it shares the processor with the server it measures. Keep-alive, bytes built beforehand."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, cast

import httptools

_BOUNDARY = "benchmark-boundary-7d1f0c"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, and all its bytes."""

    port: int
    request: bytes
    host: str = "127.0.0.1"


def raw(port: int, path: str, body: bytes, *, kind: str) -> Target:
    """A POST whose body is `body`, of media type `kind`."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Target(port, head.encode() + body)


def multipart(port: int, path: str, image: bytes, *, field: str, kind: str) -> Target:
    """A POST of one file in the form field `field`, as curl -F sends it."""
    disposition = f'Content-Disposition: form-data; name="{field}"; filename="image"'
    opening = f"--{_BOUNDARY}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()
    body = opening + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return raw(port, path, body, kind=f"multipart/form-data; boundary={_BOUNDARY}")


class Connection(asyncio.Protocol):
    """One keep-alive connection, with one request under way at most."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[int] | None = None
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    @property
    def body(self) -> bytes:
        """Of the last answer."""
        return b"".join(self._parts)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> int:
        """The answer's status. Raises ConnectionError where the server hangs up before it is complete."""
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
    """The JSON that the server answers. Raises RuntimeError for any status but 200."""

    async def once() -> tuple[int, bytes]:
        connection = await connect(target)
        status = await connection.ask(target.request)
        connection.close()
        return status, connection.body

    status, body = asyncio.run(once())
    if status != 200:
        raise RuntimeError(f"port {target.port} answers {status}: {body[:500]!r}")
    return json.loads(body)
