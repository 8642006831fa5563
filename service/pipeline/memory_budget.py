"""The memory that large bodies and images may take together, reckoned from their size before any of it is taken."""

import os
import resource
from pathlib import Path
from types import TracebackType

from models.spec import ModelSpec
from service.errors import ImageTooLarge, MemoryFull, TooManyBytes
from service.settings import Settings

SMALL_PIXELS = 4 * 2**20  # up to here an image takes what a thread has; STRIATE_WORKER_THREADS bounds those
SMALL_BYTES = 2**20  # up to here a body is not counted: who asks for a small image gets a turn beside large ones
# Bytes a pixel, and besides for each map: bounds. Seven formats of answers at 2000 x 2000 pixels took 9 to 112 in all.
_IMAGE_BYTES, _MAP_BYTES = 80, 24
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class MemoryBudget:
    """Bytes that large bodies and images may take at the same time."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes, self.reserved_bytes = total_bytes, 0

    @classmethod
    def of(cls, settings: Settings) -> "MemoryBudget":
        return cls((settings.image_bytes or memory_bytes() // 2) // settings.front_ends)

    def share(self) -> "Reservation":
        """with allowance.share() as share: what one body or image takes is given back when the block ends."""
        return Reservation(self)


class Reservation:
    """What one body or image takes of an Allowance: nothing, while it is small."""

    __slots__ = ("_allowance", "_bytes")

    def __init__(self, allowance: MemoryBudget) -> None:
        self._allowance, self._bytes = allowance, 0

    def __enter__(self) -> "Reservation":
        return self

    def hold(self, nbytes: int) -> None:
        """Has room for a body that is so large by now. Raises TooManyBytes where there never is, MemoryFull for now."""
        if nbytes > SMALL_BYTES:
            if nbytes > self._allowance.total_bytes:
                raise TooManyBytes(self._allowance.total_bytes)
            self._grow(nbytes)

    def take(self, pixels: int, spec: ModelSpec, *, body_bytes: int = 0) -> None:
        """Has room for an image of so many pixels; body_bytes: what it came in, which stays beside it.

        Raises ImageTooLarge where there never is, MemoryFull for now.
        """
        need, limit = needed_bytes(pixels, spec), self._allowance.total_bytes
        if need and need + body_bytes > limit:
            raise ImageTooLarge(pixels, need=need + body_bytes, limit=limit)
        self._grow(need)

    def _grow(self, need: int) -> None:
        allowance = self._allowance
        if allowance.reserved_bytes - self._bytes + need > allowance.total_bytes:
            raise MemoryFull
        allowance.reserved_bytes += need - self._bytes
        self._bytes = need

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._allowance.reserved_bytes -= self._bytes


def needed_bytes(pixels: int, spec: ModelSpec) -> int:
    """An upper bound for one image, its maps included; a network of a fixed size has small ones. 0: a small image."""
    maps = len(spec.channel_names) if spec.input.size is None else 0
    return pixels * (_IMAGE_BYTES + _MAP_BYTES * maps) if pixels > SMALL_PIXELS else 0


def memory_bytes() -> int:
    """What this process may have: the machine's memory, or less where its container or its limits say so."""
    told = [int(text) for text in map(_text, _CGROUP_LIMITS) if text.isdecimal()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    own = [] if limit == resource.RLIM_INFINITY else [limit]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *told, *own])


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
