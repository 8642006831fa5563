"""Pace: how far a caller may fall behind a line of the least rate, while a connection waits for it."""

import select
import socket
from asyncio import BaseTransport
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from starlette.types import Message

PIECE_BYTES = 64 * 1024  # of an answer; the next one is written when the transport has passed on most of this one
_UNSENT_BYTES = 128 * 1024  # that the system keeps of an answer; else it takes megabytes, and hides who reads slowly
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)  # on Linux only
_NOT_SENT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class Pace(NamedTuple):
    """A caller may be this many seconds behind a line of this rate; at a rate of infinity no byte makes up for time."""

    seconds: float
    bytes_per_s: float = float("inf")

    def caught_up(self, since: float, nbytes: int, now: float) -> float:
        """Returns since when the caller is behind after these bytes: never later than now, so haste saves nothing."""
        return min(now, since + nbytes / self.bytes_per_s)


HEAD = Pace(15.0)  # from the connection, or the end of the last answer, to the end of the next headers
BODY = Pace(20.0, 1024)  # 64 KiB, the most that an administrative request has, take at most 84 s
REST = Pace(5.0)  # for the rest of a body that was answered before it had arrived
ANSWER = Pace(60.0, 32 * 1024)  # half of a slow hospital line; 16 MiB take at most 572 s


def pieces(message: Message) -> Iterable[Message]:
    """Cuts a large body into copies of its parts: a view, while it is being sent, would keep the whole in memory."""
    body: bytes = message.get("body", b"")
    return (message,) if len(body) <= PIECE_BYTES else _cut(message, body)


def _cut(message: Message, body: bytes) -> Iterator[Message]:
    start = 0
    while len(body) - start > PIECE_BYTES:
        part = bytes(body[start : start + PIECE_BYTES])
        yield {"type": "http.response.body", "body": part, "more_body": True}
        start += PIECE_BYTES
    yield {**message, "body": bytes(body[start:])}


def has_unread(transport: BaseTransport) -> bool:
    """Returns whether bytes, or the end, of what a caller sends wait in the system."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return False
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def set_options(connection: socket.socket | None) -> None:
    """Makes the system give up a caller who takes nothing, and show how fast a slow one is."""
    if connection is None or connection.family == socket.AF_UNIX:
        return
    if _USER_TIMEOUT is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(1e3 * ANSWER.seconds))
    if _NOT_SENT is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _NOT_SENT, _UNSENT_BYTES)
