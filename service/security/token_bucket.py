"""Token bucket: the rate limit of an API key, within one process or across several front ends."""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from pathlib import Path
from struct import Struct
from time import monotonic
from typing import Protocol

_TIMESTAMP = Struct("<d")


class Timestamp(Protocol):
    """A stored time in seconds of the monotonic clock, which all processes of a machine share; initially 0.0."""

    def update(self, function: Callable[[float], float]) -> None:
        """Replaces the stored time by the function of it, atomically."""


class LocalTimestamp:
    """A timestamp in the memory of this process."""

    def __init__(self) -> None:
        self._time = 0.0

    def update(self, function: Callable[[float], float]) -> None:
        self._time = function(self._time)


class SharedTimestamp:
    """A timestamp in a file, shared by all processes that name it. A process that dies releases its lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def update(self, function: Callable[[float], float]) -> None:
        """Leaves the key unlimited if the file cannot be written: a full disk is not the caller's fault."""
        with suppress(OSError):
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed, some microseconds later
                stored = os.pread(file, _TIMESTAMP.size, 0)
                os.pwrite(file, _TIMESTAMP.pack(function(_TIMESTAMP.unpack(stored)[0] if stored else 0.0)), 0)
            finally:
                os.close(file)


class TokenBucket:
    """A bucket of `burst` requests that refills at `per_s` requests per second.

    Its whole state is the time at which it will be full again (generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(self, per_s: float, burst: int, full_at: Timestamp) -> None:
        self._token_s, self._bucket_s = 1 / per_s, burst / per_s
        self._full_at = full_at

    def take(self) -> int:
        """Takes a token and returns 0, or returns the whole seconds (at least 1) until one is available."""
        wait_s = 0.0

        def take_token(full_at: float) -> float:
            nonlocal wait_s
            now = monotonic()
            full_at = min(max(full_at, now), now + self._bucket_s)
            wait_s = full_at + self._token_s - now - self._bucket_s
            if wait_s > 1e-3 * self._token_s:  # sums of floats are not exact
                return full_at
            wait_s = 0.0
            return full_at + self._token_s

        self._full_at.update(take_token)
        return ceil(wait_s)
