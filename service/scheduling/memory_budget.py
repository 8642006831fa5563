"""The memory that large bodies and images may take together, reserved by their size before any of it is taken."""

import os
import resource
import threading
from pathlib import Path

from models.spec import ModelSpec
from service.errors import ImageTooLarge, MemoryFull, TooManyBytes
from service.settings import Settings

SMALL_PIXELS = 4 * 2**20  # up to here an image takes what a thread has; STRIATE_WORKER_THREADS bounds those
SMALL_BYTES = 2**20  # up to here a body is not counted: a small image gets its turn beside large ones
# Upper bounds in bytes for a pixel, and for a pixel of each map. Seven answer formats at 2000 x 2000 took 9 to 112.
_IMAGE_BYTES, _MAP_BYTES = 80, 24
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class MemoryBudget:
    """The bytes that large bodies and images may take at the same time; for any thread."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes, self.reserved_bytes = total_bytes, 0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> "MemoryBudget":
        return cls((settings.image_bytes or memory_bytes() // 2) // settings.front_ends)

    def change(self, nbytes: int) -> None:
        """Reserves so many bytes more, or gives them back where negative. Raises MemoryFull."""
        with self._lock:
            if nbytes > 0 and self.reserved_bytes + nbytes > self.total_bytes:
                raise MemoryFull
            self.reserved_bytes += nbytes


class Reservation:
    """What one body or image takes of a MemoryBudget: nothing, while it is small.

    It is given back by the last of its holders: the request's own block, and each thread that is at work on the image,
    which goes on for a while after its caller has gone.
    """

    __slots__ = ("_budget", "_bytes", "_holders", "_lock", "_outer")

    def __init__(self, budget: MemoryBudget | None = None, *, outer: "Reservation | None" = None) -> None:
        """budget: None reserves nothing. outer: what must outlive this, as a body does its images."""
        self._budget, self._outer = budget, outer
        self._bytes, self._holders = 0, 1
        self._lock = threading.Lock()
        if outer:
            outer.retain()

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def retain(self) -> None:
        """Adds a holder, who calls release()."""
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
        if self._bytes and self._budget:
            self._budget.change(-self._bytes)
        if self._outer:
            self._outer.release()

    def reserve_body(self, nbytes: int) -> None:
        """Reserves room for a body of this size so far. Raises TooManyBytes if it can never fit, MemoryFull for now."""
        if nbytes > SMALL_BYTES and self._budget:
            if nbytes > self._budget.total_bytes:
                raise TooManyBytes(self._budget.total_bytes)
            self._grow(nbytes, self._budget)

    def reserve_image(self, pixels: int, spec: ModelSpec, *, body_bytes: int = 0) -> None:
        """Reserves room for an image of so many pixels. body_bytes: what it came in, which stays beside it.

        Raises ImageTooLarge if it can never fit, MemoryFull for now.
        """
        need = needed_bytes(pixels, spec)
        if need and self._budget:
            if need + body_bytes > self._budget.total_bytes:
                raise ImageTooLarge(pixels, need=need + body_bytes, limit=self._budget.total_bytes)
            self._grow(need, self._budget)

    def _grow(self, need: int, budget: MemoryBudget) -> None:
        budget.change(need - self._bytes)
        self._bytes = need


def needed_bytes(pixels: int, spec: ModelSpec) -> int:
    """Returns an upper bound for one image and its maps; a network of a fixed size has small ones. 0: a small image."""
    maps = len(spec.channel_names) if spec.input.size is None else 0
    return pixels * (_IMAGE_BYTES + _MAP_BYTES * maps) if pixels > SMALL_PIXELS else 0


def memory_bytes() -> int:
    """Returns this process's memory limit: the machine's memory, or less where its container or its limits say so."""
    cgroups = [int(text) for text in map(_text, _CGROUP_LIMITS) if text.isdecimal()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    own = [] if limit == resource.RLIM_INFINITY else [limit]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *cgroups, *own])


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
