"""The memory that bodies, images and answers may take together, reserved by their size before any of it is taken."""

import threading

from models.spec import ModelSpec
from service.errors import AnswerTooLarge, ImageTooLarge, MemoryFull, TooManyBytes
from service.process.container import memory_bytes
from service.settings import Settings

SMALL_PIXELS = 4 * 2**20  # up to here an image takes what a thread has; STRIATE_WORKER_THREADS bounds those
SMALL_BYTES = 2**20  # up to here a request has room of its own: a small image gets its turn beside large ones
SMALL_ROOM_BYTES = 2**27  # what all small requests may take together, beside the budget
TINY_BYTES = 2**16  # up to here a body or an answer is not counted: the number of connections bounds those
# Upper bounds in bytes for a pixel, and for a pixel of each map. Seven answer formats at 2000 x 2000 took 9 to 112.
_IMAGE_BYTES, _MAP_BYTES = 80, 24


class MemoryBudget:
    """The bytes that large requests may take at the same time, and beside them small ones; for any thread."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes, self.reserved_bytes, self.small_bytes = total_bytes, 0, 0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> "MemoryBudget":
        return cls((settings.image_bytes or memory_bytes() // 2) // settings.front_ends)

    def body(self, nbytes: int) -> int:
        """Returns the bytes that a body needs. Raises TooManyBytes if it can never fit."""
        if nbytes > self.total_bytes:
            raise TooManyBytes(self.total_bytes)
        return nbytes

    def image(self, pixels: int, spec: ModelSpec, *, body_bytes: int = 0) -> int:
        """Returns the bytes that an image of this many pixels needs. body_bytes: of its file, which stays in memory.

        Raises ImageTooLarge if it can never fit.
        """
        need = needed_bytes(pixels, spec)
        if need + body_bytes > self.total_bytes:
            raise ImageTooLarge(pixels, need=need + body_bytes, limit=self.total_bytes)
        return need

    def answer(self, nbytes: int) -> int:
        """Returns the bytes that a request needs with its answer. Raises AnswerTooLarge if they can never fit."""
        if nbytes > self.total_bytes:
            raise AnswerTooLarge(nbytes, limit=self.total_bytes)
        return nbytes

    def resize(self, before: int, after: int) -> None:
        """Changes what one request, or one image, has reserved. Raises MemoryFull."""
        with self._lock:
            reserved = self.reserved_bytes + _large(after) - _large(before)
            small = self.small_bytes + _small(after) - _small(before)
            if after > before and (reserved > self.total_bytes or small > SMALL_ROOM_BYTES):
                raise MemoryFull
            self.reserved_bytes, self.small_bytes = reserved, small


def _large(nbytes: int) -> int:
    return nbytes if nbytes > SMALL_BYTES else 0


def _small(nbytes: int) -> int:
    return nbytes if nbytes <= SMALL_BYTES else 0


def needed_bytes(pixels: int, spec: ModelSpec) -> int:
    """Returns an upper bound for one image and its maps; a network of a fixed size has small ones. 0: a small image."""
    maps = len(spec.channel_names) if spec.input.size is None else 0
    return pixels * (_IMAGE_BYTES + _MAP_BYTES * maps) if pixels > SMALL_PIXELS else 0
