"""Work: what goes with an image through every room, from the request to the network and back."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum

from models.spec import ModelSpec
from service.api.answers import Stage, Timings
from service.errors import DeadlinePassed, MemoryFull
from service.scheduling.memory_budget import NOTHING, TINY_BYTES, Held, MemoryBudget

_GRACE_S = 0.5
_LATE_S = 2.0  # a step may go on for so long after its deadline
PIXELS_A_SECOND = 10 * 2**27  # that a step goes through
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

    @property
    def given_up_at(self) -> float:
        """When what still runs for it is of use to nobody."""
        return self.at + _GRACE_S

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


class Reservation:
    """What one request with its answer, or one of its images, takes of a MemoryBudget.

    It is given back by the last of its holders: the request, until its answer has been sent, and each thread that is at
    work on the image, which goes on for a while after its caller has gone.
    """

    __slots__ = ("_budget", "_held", "_holders", "_lacking", "_lock", "_outer", "_spare")

    def __init__(self, budget: MemoryBudget | None = None, *, outer: "Reservation | None" = None) -> None:
        """budget: None reserves nothing. outer: what must outlive this, as a request does its images."""
        self._budget, self._outer = budget, outer
        self._held = self._lacking = NOTHING
        self._spare = NOTHING  # the part that an answer may take
        self._holders = 1
        self._lock = threading.Lock()
        if outer:
            outer.retain()

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def retain(self) -> None:
        """Adds a holder, which must call release()."""
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
        if self._held is not NOTHING and self._budget:
            self._budget.resize(self._held, NOTHING)
        if self._outer:
            self._outer.release()

    def reserve_body(self, nbytes: int) -> None:
        """Reserves room for a body of this size so far. Raises TooManyBytes if it can never fit, MemoryFull for now."""
        if nbytes > TINY_BYTES and self._budget:
            self._change(Held.of(self._budget.body(nbytes)), self._budget)

    def reserve_more(self, nbytes: int) -> None:
        """Reserves more for what a body becomes. Raises TooManyBytes if both can never fit, MemoryFull for now."""
        if nbytes > TINY_BYTES and self._budget:
            self._change(Held.of(self._budget.body(self._held.total + nbytes, unpacked=True)), self._budget)

    async def reserve_answer(self, nbytes: int, *, until: float) -> None:
        """Reserves the answer's memory in place of what was taken over, or more when there is room.

        until: a moment of the event loop's clock. Raises AnswerTooLarge if it can never fit, MemoryFull then.
        """
        budget = self._budget
        if budget is None or (nbytes <= TINY_BYTES and self._spare is NOTHING):
            return
        body, spare = self._held.minus(self._spare), self._spare
        budget.answer(body.total + nbytes)
        own = Held(large=nbytes) if nbytes <= spare.large else Held.of(nbytes)
        wanted = body if nbytes <= TINY_BYTES else body.plus(own)
        while True:
            try:
                self._change(wanted, budget)
            except MemoryFull:
                if not await budget.room(self._lacking, until=until, first=True):
                    raise
            else:
                self._spare = NOTHING
                return

    def take_over(self, image: "Reservation") -> None:
        """Holds what an image has reserved, for the answer to it that is there now."""
        if image._held is NOTHING:
            return
        with image._lock:
            taken, image._held = image._held, NOTHING
        self._held, self._spare = self._held.plus(taken), self._spare.plus(taken)

    def reserve_image(self, pixels: int, spec: ModelSpec, *, pixel_bytes: int, body_bytes: int = 0) -> None:
        """Reserves room for an image. Raises ImageTooLarge if it can never fit, MemoryFull for now."""
        if self._budget:
            need = self._budget.image(pixels, spec, pixel_bytes=pixel_bytes, body_bytes=body_bytes)
            if need > TINY_BYTES or self._held is not NOTHING:
                self._change(Held.of(need), self._budget)

    async def room(self, *, until: float) -> bool:
        """Waits until what was refused last may fit, or for a moment; returns whether it may."""
        return self._budget is not None and await self._budget.room(self._lacking, until=until)

    def _change(self, after: Held, budget: MemoryBudget) -> None:
        self._lacking = after.minus(self._held)
        budget.resize(self._held, after)
        self._held = after


@dataclass(slots=True, eq=False)
class Work:
    """One image's work.

    reservation: the memory that it may take, given back when the last thread that works on the image has ended.
    kept_by: what has that memory from then on, for the answer; nothing if the image fails. max_pixels: a larger image
    is refused. tolerates_damage: a damaged one is answered, with a warning. has_place: whether it counts as waiting
    already, as the later tiles of an image do. on_stage: makes a trace's span of each stage. seconds: the duration of
    each stage so far.
    """

    deadline: Deadline
    priority: Priority = Priority.INTERACTIVE
    reservation: Reservation = field(default_factory=Reservation)
    kept_by: Reservation | None = None
    max_pixels: int = 2**31
    tolerates_damage: bool = False
    has_place: bool = False
    request_id: str = ""
    on_stage: OnStage | None = None
    seconds: dict[Stage, float] = field(default_factory=dict)

    def __enter__(self) -> "Work":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.kept_by and kind is None:
            self.kept_by.take_over(self.reservation)
        self.reservation.release()

    def part(self) -> "Work":
        """Returns the work of a further pass over the same image: behind interactive images, in its own place."""
        return replace(self, priority=Priority.BULK, has_place=True)

    def again(self) -> "Work":
        """Returns the work of another pass over the same image that goes on at once, in its own place."""
        return replace(self, has_place=True)

    def check(self, pixels: float) -> None:
        """Called in a thread, before a step that goes through so many pixels.

        Raises DeadlinePassed where nobody waits for it any more, or where it would go on long after the deadline.
        """
        ends_at = time.monotonic() + pixels / PIXELS_A_SECOND
        if self.deadline.passed or ends_at > self.deadline.at + _LATE_S:
            raise DeadlinePassed(self.deadline.timeout_s)

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
