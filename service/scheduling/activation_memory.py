"""Activation memory: what the networks that run on a CPU may take together; a run waits until there is room for it."""

import math
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from models.errors import PackageError
from models.geometry import Grid
from models.image import Array
from models.spec import ModelSpec
from service.inference import Session

MOST_TILE_PX = 2**14
MARGIN = 1.2  # of other sizes and batches over what the test input took for each of its values
_TINY_BYTES = 2**20  # such a run may be in the event loop, which must not wait
_LARGEST_TILE = 0.85  # of the whole: small images run beside a tile


class ActivationMemory:
    """Bytes for running networks; for any thread. Whoever waits is served in the order of arrival."""

    def __init__(self, total_bytes: float = math.inf) -> None:
        self.total_bytes = total_bytes
        self.reserved_bytes = 0
        self._changed = threading.Condition()
        self._turns: deque[object] = deque()

    @contextmanager
    def reserved(self, nbytes: int) -> Iterator[None]:
        """Waits until there is room, if need be until nothing else runs; not for what takes hardly any."""
        if nbytes <= _TINY_BYTES:
            yield
            return
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

    def _fits(self, nbytes: int) -> bool:
        return not self.reserved_bytes or self.reserved_bytes + nbytes <= self.total_bytes


class AdmittedSession:
    """A session whose runs wait until there is memory for them; a batch that can never fit runs in parts."""

    def __init__(self, session: Session, memory: ActivationMemory, *, element_bytes: float) -> None:
        """element_bytes: see Proof."""
        self._session, self._memory, self._element_bytes = session, memory, element_bytes
        self.provider, self.lanes, self.buckets = session.provider, session.lanes, session.buckets

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """See Session.run."""
        need = needed_bytes(batch[0].size, self._element_bytes)
        most = int(max(1, min(len(batch), self._memory.total_bytes // max(1, need))))
        parts = [self._run(batch[n : n + most], outputs, need) for n in range(0, len(batch), most)]
        return (
            parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in outputs}
        )

    def _run(self, batch: Array, outputs: Sequence[str], need: int) -> dict[str, Array]:
        with self._memory.reserved(len(batch) * need):
            return self._session.run(batch, outputs)


def needed_bytes(elements: int, element_bytes: float) -> int:
    """Returns the bytes that a run on this many values takes; element_bytes: what the proof's run took for each."""
    return math.ceil(MARGIN * element_bytes * elements)


def largest_tile(spec: ModelSpec, element_bytes: float, memory: ActivationMemory) -> int:
    """Returns the side in px of the largest tile that fits, at most MOST_TILE_PX, as for a network of a fixed size.

    Raises PackageError if not even the smallest tile, or the one image, fits.
    """
    tile_px, elements = MOST_TILE_PX, spec.input.channels * math.prod(spec.input.size or ())
    if spec.input.size is None:
        of_a_pixel = MARGIN * element_bytes * spec.input.channels
        if of_a_pixel:
            tile_px = int(min(tile_px, math.sqrt(_LARGEST_TILE * memory.total_bytes / of_a_pixel)))
        elements *= Grid.of(spec, tile_px=tile_px).tile ** 2
    if (need := needed_bytes(elements, element_bytes)) > memory.total_bytes:
        raise PackageError(
            f"A run takes {need // 2**20:,} MiB of memory; all networks together may take "
            f"{int(memory.total_bytes) // 2**20:,} MiB of what the service has. Give it more."
        )
    return tile_px
