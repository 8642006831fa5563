"""Model statistics: requests, times and batch sizes of one model version, as in Triton's statistics extension."""

import time
from dataclasses import dataclass, field
from typing import Literal, get_args

from service.api.answers import Timings
from service.scheduling.work_item import InferenceResult

Phase = Literal["queue", "compute_input", "compute_infer", "compute_output"]


@dataclass(slots=True)
class DurationSum:
    """A number of events and the sum of their durations."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds

    def __add__(self, other: "DurationSum") -> "DurationSum":
        return DurationSum(self.count + other.count, self.seconds + other.seconds)


@dataclass(slots=True)
class Comparison:
    """Images that a shadow ran as well. differed: its decision was another; left_out: skipped, since it lagged."""

    compared: int = 0
    differed: int = 0
    failed: int = 0
    left_out: int = 0

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True, eq=False)
class Statistics:
    """The statistics of one model version since it was loaded.

    success, fail: requests of all routes. parts: times of images. last: Unix time at which the last request ended.
    comparison: of a version while it is a shadow. items: images and tiles by batch size, each counted with
    the time of its whole run.
    """

    success: DurationSum = field(default_factory=DurationSum)
    fail: DurationSum = field(default_factory=DurationSum)
    parts: dict[Phase, DurationSum] = field(default_factory=lambda: {part: DurationSum() for part in get_args(Phase)})
    last: float = 0.0
    comparison: Comparison = field(default_factory=Comparison)
    items: dict[int, DurationSum] = field(default_factory=dict)

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(
            self.success + other.success,
            self.fail + other.fail,
            {part: duration + other.parts[part] for part, duration in self.parts.items()},
            max(self.last, other.last),
            self.comparison + other.comparison,
            {
                size: self.items.get(size, DurationSum()) + other.items.get(size, DurationSum())
                for size in {*self.items, *other.items}
            },
        )

    def add_run(self, result: InferenceResult) -> None:
        """Counts an image or tile that the network has processed."""
        self.items.setdefault(result.batch_size, DurationSum()).add(result.infer_s)

    def add_image(self, timings: Timings) -> None:
        """Counts an answered image."""
        self.parts["queue"].add(1e-3 * timings.queue)
        self.parts["compute_input"].add(1e-3 * (timings.decode + timings.preprocess))
        self.parts["compute_infer"].add(1e-3 * timings.infer)
        self.parts["compute_output"].add(1e-3 * (timings.postprocess + timings.encode))

    def add_overhead(self, part: Literal["compute_input", "compute_output"], seconds: float) -> None:
        """Adds the time of reading a request or writing its response, apart from its images."""
        self.parts[part].seconds += seconds

    def request(self, started: float) -> "CountedRequest":
        """Returns a context manager that counts a request which arrived at perf_counter() == `started`."""
        return CountedRequest(self, started)

    def runs(self) -> dict[int, DurationSum]:
        """Returns the runs of the network by batch size, computed from the items whose callers received a result."""
        return {
            size: DurationSum(round(duration.count / size), duration.seconds / size)
            for size, duration in sorted(self.items.items())
        }


class CountedRequest:
    """A request to count as success or failure: a class, since a generator would take four times as long."""

    __slots__ = ("_started", "_statistics")

    def __init__(self, statistics: Statistics, started: float) -> None:
        self._statistics, self._started = statistics, started

    def __enter__(self) -> None: ...

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        total = self._statistics.fail if error else self._statistics.success
        total.add(time.perf_counter() - self._started)
        self._statistics.last = time.time()
