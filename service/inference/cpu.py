"""CPU sessions, whose runs are given up when nobody waits for them any more."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from onnxruntime import RunOptions

from models.image import Array
from service.inference import cpu_arena
from service.inference.activation_memory import TINY_RUN_BYTES, NetworkMemory
from service.inference.onnxruntime import CPU, ERRORS, RunGivenUp, load, optimise, translated

_BRIEF_S = 2e-4  # a shorter run gains nothing from a second thread, which must be woken first
_POLL_S = 0.25
_TRIALS, _TRIALS_S = 4, 1.0  # the first run has cold caches, and others may be disturbed by other processes


class RunDeadlines:
    """Ends each run at its moment, or up to _POLL_S later; one thread for all, which sleeps while nothing runs."""

    def __init__(self) -> None:
        self._untils: dict[RunOptions, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def options(self, until: float) -> Iterator[RunOptions | None]:
        """Yields the options of one run, which then fails between two nodes. until: a moment of time.monotonic()."""
        if until == math.inf:
            yield None
            return
        options = RunOptions()
        with self._changed:
            self._untils[options] = until
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="run-deadlines", daemon=True)
                self._thread.start()
            elif len(self._untils) == 1:
                self._changed.notify()
        try:
            yield options
        finally:
            with self._changed:
                del self._untils[options]

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._untils)
                now = time.monotonic()
                for options, until in self._untils.items():
                    options.terminate = until <= now
            time.sleep(_POLL_S)


_RUN_DEADLINES = RunDeadlines()


class CpuSession:
    """Two sessions that share the weights: a single run uses all threads, concurrent runs use one thread each.

    For a single image this halves the latency on two cores; for concurrent ones it gives more throughput than shared
    threads. A network with very short runs always uses one thread.
    ONNX Runtime writes the optimised graph beside its weights in their final layout, and both sessions map that file.
    They need less memory than one session that optimises in memory and keeps both layouts.
    """

    provider = CPU

    def __init__(self, network: Path | bytes, *, lanes: int, buckets: tuple[int, ...]) -> None:
        self.lanes, self.buckets = lanes, buckets
        with TemporaryDirectory(prefix="striate-") as folder:  # the mapping outlives the file
            graph = optimise(network, Path(folder))
            shares = cpu_arena.is_shared()
            open_graph = partial(
                load, graph.path, providers=[CPU], is_optimised=True, shares_arena=shares, any_size=graph.any_size
            )
            self._narrow = open_graph(threads=1)
            self._input: str = self._narrow.get_inputs()[0].name
            wide = lanes > 1 and (graph.any_size or not self._is_brief())
            self._wide = open_graph(threads=lanes) if wide else self._narrow
        self.memory = NetworkMemory()  # what its runs take; without a limit
        self._running = 0
        self._lock = threading.Lock()

    def run(self, batch: Array, outputs: Sequence[str], until: float = math.inf) -> dict[str, Array]:
        """Waits until there is memory for it; a batch for which there never is runs in parts. See Session.run."""
        need = self.memory.element_bytes * batch.size
        if need <= TINY_RUN_BYTES:
            return self._run_now(batch, outputs, until)
        most = self.memory.most_items(batch[0].size)
        if len(batch) > most:
            parts = [self.run(batch[n : n + most], outputs, until) for n in range(0, len(batch), most)]
            return {name: np.concatenate([part[name] for part in parts]) for name in outputs}
        with self.memory.shared.reserved(need):
            return self._run_now(batch, outputs, until)

    def _run_now(self, batch: Array, outputs: Sequence[str], until: float) -> dict[str, Array]:
        with self._lock:
            self._running += 1
            session = self._wide if self._running == 1 else self._narrow
        try:
            return self._run(session, batch, outputs, until)
        except MemoryError:  # the arena's free pieces were too small
            cpu_arena.release()
            return self._run(session, batch, outputs, until)
        finally:
            with self._lock:
                self._running -= 1

    def _run(self, session: Any, batch: Array, outputs: Sequence[str], until: float) -> dict[str, Array]:
        with _RUN_DEADLINES.options(until) as options:
            try:
                return dict(zip(outputs, session.run(outputs, {self._input: batch}, options)))
            except ERRORS as error:
                if options and options.terminate:
                    raise RunGivenUp("The network did not end in its time.") from error
                raise translated(error, action="run") from error

    def _is_brief(self) -> bool:
        """Returns whether a run of one image on one thread is brief."""
        _, *shape = self._narrow.get_inputs()[0].shape
        image = {self._input: np.zeros((1, *shape), np.float32)}
        with _RUN_DEADLINES.options(time.monotonic() + _TRIALS_S) as options:
            try:
                return any(_seconds(self._narrow, image, options) < _BRIEF_S for _ in range(_TRIALS))
            except ERRORS as error:
                if options and options.terminate:
                    return False
                raise translated(error, action="run") from error


def _seconds(session: Any, image: dict[str, Array], options: RunOptions | None) -> float:
    started = time.perf_counter()
    session.run(None, image, options)
    return time.perf_counter() - started
