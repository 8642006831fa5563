"""What one version of a model has answered since it was loaded, as Triton's statistics extension counts it."""

import time
from dataclasses import dataclass, field
from typing import Literal, get_args

from service.api.answers import Timings
from service.scheduling.work_item import InferenceResult

Part = Literal["queue", "compute_input", "compute_infer", "compute_output"]


@dataclass(slots=True)
class Spent:
    """How many, and the seconds of all of them together."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.count + other.count, self.seconds + other.seconds)


@dataclass(slots=True)
class Comparison:
    """Images that a shadow ran too; differed: it decided otherwise; left_out: it was too far behind."""

    compared: int = 0
    differed: int = 0
    failed: int = 0
    left_out: int = 0

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True, eq=False)
class Statistics:
    """success, fail: requests, by every route. parts: images. last: when the last request ended, in Unix seconds.

    comparison: of a version while it is a shadow. items: by batch size, each image or tile, with its whole run's time.
    """

    success: Spent = field(default_factory=Spent)
    fail: Spent = field(default_factory=Spent)
    parts: dict[Part, Spent] = field(default_factory=lambda: {part: Spent() for part in get_args(Part)})
    last: float = 0.0
    comparison: Comparison = field(default_factory=Comparison)
    items: dict[int, Spent] = field(default_factory=dict)

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(
            self.success + other.success,
            self.fail + other.fail,
            {part: spent + other.parts[part] for part, spent in self.parts.items()},
            max(self.last, other.last),
            self.comparison + other.comparison,
            {size: _of(self, size) + _of(other, size) for size in {*self.items, *other.items}},
        )

    def ran(self, ran: InferenceResult) -> None:
        """One image, or one tile, came back from the network."""
        self.items.setdefault(ran.batch_size, Spent()).add(ran.infer_s)

    def answered(self, timings: Timings) -> None:
        """One image has its answer."""
        self.parts["queue"].add(1e-3 * timings.queue)
        self.parts["compute_input"].add(1e-3 * (timings.decode + timings.preprocess))
        self.parts["compute_infer"].add(1e-3 * timings.infer)
        self.parts["compute_output"].add(1e-3 * (timings.postprocess + timings.encode))

    def handled(self, part: Literal["compute_input", "compute_output"], seconds: float) -> None:
        """A request was read, or its answer written, apart from its images."""
        self.parts[part].seconds += seconds

    def request(self, started: float) -> "Counted":
        """with statistics.request(perf_counter() at its arrival): counts the request when the block ends."""
        return Counted(self, started)

    def runs(self) -> dict[int, Spent]:
        """Runs of the network by batch size; of a run, those count whose callers waited for it."""
        each = sorted(self.items.items())
        return {size: Spent(round(spent.count / size), spent.seconds / size) for size, spent in each}


def _of(statistics: Statistics, size: int) -> Spent:
    return statistics.items.get(size, Spent())


class Counted:
    """A request that is counted as answered or failed; a class since a generator would take four times as long."""

    __slots__ = ("_started", "_statistics")

    def __init__(self, statistics: Statistics, started: float) -> None:
        self._statistics, self._started = statistics, started

    def __enter__(self) -> None: ...

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        into = self._statistics.fail if error else self._statistics.success
        into.add(time.perf_counter() - self._started)
        self._statistics.last = time.time()
