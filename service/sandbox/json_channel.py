"""Channel: JSON messages and file descriptors between two processes.

Never pickle: a child that has read a stranger's bytes may be under the stranger's control.
"""

import os
import socket
from collections.abc import Mapping
from typing import Any

import orjson

_MESSAGE_BYTES = 2**16
_DESCRIPTORS = 2


class Channel:
    """One end of a connection. Raises OSError if the other end is closed while sending."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: Mapping[str, Any], *descriptors: int) -> None:
        socket.send_fds(self._end, [orjson.dumps(message)], descriptors)

    def receive(self, *, timeout_s: float | None = None) -> tuple[dict[str, Any], list[int]]:
        """Returns a message and its descriptors, which the caller must close.

        Raises EOFError if an end is closed or the other sends what is no message, TimeoutError after timeout_s.
        """
        try:
            self._end.settimeout(None if timeout_s is None else max(timeout_s, 1e-3))
            text, descriptors, _, _ = socket.recv_fds(self._end, _MESSAGE_BYTES, _DESCRIPTORS)
        except TimeoutError:
            raise
        except OSError as error:  # either end may have been closed meanwhile
            raise EOFError from error
        try:
            message = orjson.loads(text)  # nothing at all, if the other end is closed
            if not isinstance(message, dict):
                raise EOFError("a message that is no object")
        except (orjson.JSONDecodeError, EOFError) as error:
            for descriptor in descriptors:
                os.close(descriptor)
            raise EOFError from error
        return message, list(descriptors)

    def close(self) -> None:
        self._end.close()


def channel_pair() -> tuple[Channel, Channel]:
    """Returns both ends of a new connection, which keeps the bounds of messages."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours), Channel(theirs)
