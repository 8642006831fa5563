"""A token bucket: how often a key may ask, of one process or of several front ends together."""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from pathlib import Path
from struct import Struct
from time import monotonic
from typing import Protocol

_MOMENT = Struct("<d")


class Moment(Protocol):
    """Seconds of the monotonic clock, which the processes of a machine share, kept somewhere; 0.0 at first."""

    def change(self, to: Callable[[float], float]) -> None:
        """Replaces it by what `to` makes of it, with nobody in between."""


class Own:
    """This process's own."""

    def __init__(self) -> None:
        self._moment = 0.0

    def change(self, to: Callable[[float], float]) -> None:
        self._moment = to(self._moment)


class Shared:
    """That of all processes that name the same file; one that ends while it holds the lock lets it go."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def change(self, to: Callable[[float], float]) -> None:
        """Where the file cannot be written the key is let in: a full disk is not its fault."""
        with suppress(OSError):
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed, some microseconds later
                found = os.pread(file, _MOMENT.size, 0)
                os.pwrite(file, _MOMENT.pack(to(_MOMENT.unpack(found)[0] if found else 0.0)), 0)
            finally:
                os.close(file)


class Bucket:
    """Holds `burst` requests and gains `per_s` a second.

    All there is to know is when it will be full again (the generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(self, per_s: float, burst: int, full_at: Moment) -> None:
        self._each_s, self._all_s = 1 / per_s, burst / per_s
        self._full_at = full_at

    def take(self) -> int:
        """0 where one more request may pass; else the whole seconds, from 1 up, until one may."""
        lacks_s = 0.0

        def taken(full_at: float) -> float:
            nonlocal lacks_s
            now = monotonic()
            full_at = min(max(full_at, now), now + self._all_s)
            lacks_s = full_at + self._each_s - now - self._all_s
            if lacks_s > 1e-3 * self._each_s:  # sums of floats are not exact
                return full_at
            lacks_s = 0.0
            return full_at + self._each_s

        self._full_at.change(taken)
        return ceil(lacks_s)
