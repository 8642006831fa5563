"""Networks on the processor."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from models.image import Array
from service.inference.onnxruntime import CPU, failing, load, optimised

_BRIEF_S = 2e-4  # a run that is over sooner gains nothing from a second thread, which has to be woken first
_TRIES = 4  # the first finds nothing in its place, and somebody else may have the processor


class CpuSession:
    """One copy of the weights in two sessions: a run that is alone has every thread, runs side by side have one each.

    Alone that halves an image's time on two cores; side by side it gives more images a second than shared threads do.
    A network so small that its run is brief has one thread always.
    ONNX Runtime writes the graph it has optimised beside its weights, in their final layout, and both sessions map that
    file: together they need less memory than one session that optimises for itself and keeps both layouts.
    """

    provider = CPU

    def __init__(self, network: Path | bytes, *, lanes: int, buckets: tuple[int, ...]) -> None:
        self.lanes, self.buckets = lanes, buckets
        with TemporaryDirectory(prefix="striate-") as folder:  # what is mapped stays when the file has gone
            graph = optimised(network, Path(folder))
            self._narrow = load(graph, threads=1, providers=[CPU], optimise=False)
            self._input: str = self._narrow.get_inputs()[0].name
            wide = lanes > 1 and not self._is_brief()
            self._wide = load(graph, threads=lanes, providers=[CPU], optimise=False) if wide else self._narrow
        self._running = 0
        self._lock = threading.Lock()

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        with self._lock:
            self._running += 1
            session = self._wide if self._running == 1 else self._narrow
        try:
            with failing("run"):
                return dict(zip(outputs, session.run(outputs, {self._input: batch})))
        finally:
            with self._lock:
                self._running -= 1

    def _is_brief(self) -> bool:
        """Of one image by one thread; where the network takes any size, an image may be large."""
        _, *shape = self._narrow.get_inputs()[0].shape
        if not all(isinstance(side, int) for side in shape):
            return False
        image = {self._input: np.zeros((1, *shape), np.float32)}
        with failing("run"):
            return any(_seconds(self._narrow, image) < _BRIEF_S for _ in range(_TRIES))


def _seconds(session: Any, image: dict[str, Array]) -> float:
    started = time.perf_counter()
    session.run(None, image)
    return time.perf_counter() - started
