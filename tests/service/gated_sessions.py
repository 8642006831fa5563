"""Real networks whose runs wait until a test lets them through."""

import math
import threading
import time
from collections.abc import Sequence

from models.image import Array
from models.package import Package
from service.inference import Session, open_session

_RUN_S = (
    0.005  # a run takes at least this long, whatever is in it, so that batches pay and threads are worth their while
)


class Gate:
    """Open, shut, or open for so many runs.

    runs: how many items were in each run, in the order in which they began. threads: the names of those that ran them.
    """

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.threads: set[str] = set()
        self.run_s = 0.005  # what a run takes beyond its network, whatever is in it: batches pay, and threads
        self._free = math.inf
        self._changed = threading.Condition()

    def shut(self) -> None:
        with self._changed:
            self._free = 0

    def open(self, runs: float = math.inf) -> None:
        with self._changed:
            self._free = runs
            self._changed.notify_all()

    def passed(self, items: int) -> None:
        """Called by a run; it waits its turn."""
        with self._changed:
            self.runs.append(items)
            self.threads.add(threading.current_thread().name)
            assert self._changed.wait_for(lambda: self._free > 0, timeout=120)
            self._free -= 1

    def session(self, package: Package) -> Session:
        """One lane, one item a run."""
        return Gated(self, package, buckets=(1,))

    def batching_session(self, package: Package) -> Session:
        return Gated(self, package, buckets=(1, 2, 4, 8))


class Gated:
    """A Session on the processor, behind the gate."""

    provider, lanes = "test", 1

    def __init__(self, gate: Gate, package: Package, *, buckets: tuple[int, ...]) -> None:
        self.buckets = buckets
        self._gate = gate
        self._session = open_session(package.weights, device="cpu", threads=1, buckets=buckets)

    def run(self, batch: Array, outputs: Sequence[str], until: float = math.inf) -> dict[str, Array]:
        self._gate.passed(len(batch))
        time.sleep(self._gate.run_s)
        return self._session.run(batch, outputs, until)
