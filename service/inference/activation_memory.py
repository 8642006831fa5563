"""Activation memory: what the networks that run on a CPU may take together; a run waits until there is room for it."""

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from models.errors import PackageError
from models.geometry import Grid
from models.spec import ModelSpec

MOST_TILE_PX = 2**14
TINY_RUN_BYTES = 4 * 2**20  # such a run does not wait: in the event loop, which must not, a run takes at most 0.25 ms
MARGIN = 1.1  # of other sizes and batches over what the test input took for each of its values
_LARGEST_TILE = 0.9  # of the whole: small images run beside a tile


class ActivationMemory:
    """Bytes for running networks; for any thread. Whoever waits is served in the order of arrival."""

    def __init__(self, total_bytes: float = math.inf) -> None:
        self.total_bytes = total_bytes
        self.reserved_bytes = 0.0
        self._changed = threading.Condition()
        self._turns: deque[object] = deque()

    @contextmanager
    def reserved(self, nbytes: float) -> Iterator[None]:
        """Waits until there is room, if need be until nothing else runs."""
        turn = object()
        with self._changed:
            self._turns.append(turn)
            self._changed.wait_for(lambda: self._turns[0] is turn and self._fits(nbytes))
            self._turns.popleft()
            self.reserved_bytes += nbytes
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.reserved_bytes -= nbytes
                self._changed.notify_all()

    def _fits(self, nbytes: float) -> bool:
        return self.reserved_bytes < 1 or self.reserved_bytes + nbytes <= self.total_bytes


@dataclass(frozen=True, slots=True)
class NetworkMemory:
    """What one network takes of the memory that all share. element_bytes: of a run, for each value of its input."""

    shared: ActivationMemory = field(default_factory=ActivationMemory)
    element_bytes: float = 0.0

    @classmethod
    def measured(cls, shared: ActivationMemory, element_bytes: float) -> "NetworkMemory":
        """element_bytes: see Proof."""
        return cls(shared, MARGIN * element_bytes)

    def most_items(self, elements: int) -> int:
        """Returns how many images may run in a batch, at least 1. elements: values of each."""
        need = self.element_bytes * elements
        return max(1, int(min(self.shared.total_bytes, 2**62) / need)) if need > 1 else 2**62

    def largest_tile(self, spec: ModelSpec) -> int:
        """Returns the side in px of the largest tile that fits, at most MOST_TILE_PX, as for a network of a fixed size.

        Raises PackageError if not even the smallest tile, or the one image, fits.
        """
        total, of_a_pixel = self.shared.total_bytes, self.element_bytes * spec.input.channels
        tile_px, pixels = MOST_TILE_PX, math.prod(spec.input.size or ())
        if spec.input.size is None:
            if of_a_pixel:
                tile_px = int(min(tile_px, math.sqrt(_LARGEST_TILE * total / of_a_pixel)))
            pixels = Grid.of(spec, tile_px=tile_px).tile ** 2
        if (need := of_a_pixel * pixels) > total:
            raise PackageError(
                f"A run takes {need / 2**20:,.0f} MiB of memory; all networks together may take "
                f"{total / 2**20:,.0f} MiB of what the service has. Give it more."
            )
        return tile_px
