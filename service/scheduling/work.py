"""Work: what goes with an image through every room, from the request to the network and back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum

from service.api.answers import Stage, Timings
from service.errors import DeadlinePassed
from service.scheduling.memory_budget import Reservation

OnStage = Callable[[Stage, float, float], None]  # the stage, its duration in s, and how many s ago it ended


class Priority(IntEnum):
    """The order of service: a lower number goes first."""

    INTERACTIVE = 0  # someone waits for this one image
    BULK = 1  # one of many: a tile of a large image, an image of a long list


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the event loop's clock, and the time limit in seconds that led to it."""

    at: float
    timeout_s: float

    @classmethod
    def after(cls, timeout_s: float) -> "Deadline":
        return cls(asyncio.get_running_loop().time() + timeout_s, timeout_s)

    @property
    def passed(self) -> bool:
        return self.at <= time.monotonic()  # asyncio's clock too

    def sooner(self, timeout_s: float | None) -> "Deadline":
        """Returns the earlier of this deadline and one with another time limit from the same start."""
        if timeout_s is None or timeout_s >= self.timeout_s:
            return self
        return Deadline(self.at - self.timeout_s + timeout_s, timeout_s)

    @asynccontextmanager
    async def enforced(self) -> AsyncIterator[None]:
        """Ends the block when the deadline passes. Raises DeadlinePassed."""
        try:
            async with asyncio.timeout_at(self.at):
                yield
        except TimeoutError:
            raise DeadlinePassed(self.timeout_s) from None


@dataclass(slots=True, eq=False)
class Work:
    """One image's work.

    reservation: the memory that it may take, given back when the last thread that works on the image has ended.
    max_pixels: a larger image is refused. has_place: whether it counts as waiting already, as the later tiles of an
    image do. on_stage: makes a trace's span of each stage. seconds: the duration of each stage so far.
    """

    deadline: Deadline
    priority: Priority = Priority.INTERACTIVE
    reservation: Reservation = field(default_factory=Reservation)
    max_pixels: int = 2**31
    has_place: bool = False
    request_id: str = ""
    on_stage: OnStage | None = None
    seconds: dict[Stage, float] = field(default_factory=dict)

    def part(self) -> "Work":
        """Returns the work of a further pass over the same image: behind interactive images, in its own place."""
        return replace(self, priority=Priority.BULK, has_place=True)

    def again(self) -> "Work":
        """Returns the work of another pass over the same image that goes on at once, in its own place."""
        return replace(self, has_place=True)

    def stage(self, name: Stage) -> "StageTimer":
        """with work.stage("decode"): adds the block's duration to the stage."""
        return StageTimer(self, name)

    def add(self, name: Stage, seconds: float, *, ago: float = 0.0) -> None:
        """Adds to a stage's duration; a stage that comes twice (tiles) adds up."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        if self.on_stage:
            self.on_stage(name, seconds, ago)

    def timings(self) -> Timings:
        return Timings(**{name: round(1e3 * seconds, 3) for name, seconds in self.seconds.items()})


class StageTimer:
    """A class of its own, since a generator's context manager takes four times as long and there are five an image."""

    __slots__ = ("_name", "_started", "_work")

    def __init__(self, work: Work, name: Stage) -> None:
        self._work, self._name = work, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._work.add(self._name, time.perf_counter() - self._started)
