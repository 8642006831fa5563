"""What crosses the socket: the engine's catalogue once, then messages of fixed size. Tensors lie in shared memory."""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from models.spec import ModelSpec
from service.engine.shared_memory import Shape
from service.repository.rollouts import Rollouts

Message = TypeVar("Message")
Fields = tuple[int | float, ...]

HELLO = b"\0"  # what carries the descriptor of a front end's memory
LENGTH = Struct("<Q")  # of the catalogue, which follows

_OUTPUTS, _AXES = 4, 4  # most that one asks for at once, and that an output has


class Sound(BaseModel):
    """A package that the engine has verified."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    spec: ModelSpec
    sha256: str


class CatalogueEntry(Sound):
    """A version that has a queue. share: percent of its model's requests, where it is the canary."""

    provider: str
    nbytes: int
    loaded: bool
    role: Literal["serves", "canary", "shadow"]
    share: float


class Unfit(BaseModel):
    """A package that was refused, and why."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    reason: str


class Catalogue(BaseModel):
    """What the engine serves; an Ask names a version by its place in `known`, where each of an engine stands once."""

    model_config = ConfigDict(frozen=True)

    known: tuple[CatalogueEntry, ...]
    refused: tuple[Unfit, ...]
    spare: tuple[Sound, ...]
    plans: Rollouts


class Ask(NamedTuple):
    """A front end's message: run this tensor, (1, channels, height, width) float32 at the slot's begin.

    outputs: bit n stands for the n-th of the model's outputs. deadline_at: seconds of the monotonic clock, which the
    processes of a machine share. cancels: forget what was asked under this number; nothing else of it counts.
    """

    number: int
    cancels: bool = False
    model: int = 0
    outputs: int = 0
    priority: int = 0
    admitted: bool = False
    begin: int = 0
    end: int = 0
    channels: int = 0
    height: int = 0
    width: int = 0
    deadline_at: float = 0.0
    timeout_s: float = 0.0

    def packed(self) -> bytes:
        return _ASK.pack(*self)


class Outcome(IntEnum):
    """What became of an Ask."""

    RAN = 0
    LEFT = 1  # it was cancelled
    LATE = 2  # DeadlinePassed
    FULL = 3  # QueueFull
    FAILED = 4  # NetworkFailed; its sentence lies in the slot
    BROKEN = 5  # a bug; the name of the exception lies in the slot
    UNREADY = 6  # NotReady; its sentence lies in the slot
    NEWS = 7  # no answer: what the engine serves has changed, and whoever connects anew learns it
    LOADED = 8  # no answer: the network of the version at this place, which is the number, is in memory
    UNLOADED = 9  # and now it is not
    SHORT = 10  # MemoryError


class Reply(NamedTuple):
    """The engine's message: exactly one for every Ask that is not a cancellation; then the slot is free. Or news.

    size: items in the batch if it ran, bytes of text in the slot if it failed. released: as in Ran, 0 for None. shapes:
    of the outputs asked for, which lie in the slot one after another.
    """

    number: int
    outcome: int
    size: int = 0
    released: int = 0
    retry_after_s: int = 0
    queue_s: float = 0.0
    infer_s: float = 0.0
    shapes: tuple[Shape, ...] = ()

    def packed(self) -> bytes:
        axes = [axis for shape in self.shapes for axis in (*shape, *[0] * (_AXES - len(shape)))]
        return _REPLY.pack(*self[:-1], *axes, *[0] * (_OUTPUTS * _AXES - len(axes)))


def bits(every: Sequence[str], chosen: Sequence[str]) -> int:
    """The chosen of every output's name as an Ask's `outputs`."""
    return sum(1 << n for n, name in enumerate(every) if name in chosen)


def names(every: Sequence[str], outputs: int) -> tuple[str, ...]:
    """An Ask's `outputs` as names, in the order of every name."""
    return tuple(name for n, name in enumerate(every) if outputs >> n & 1)


_ASK = Struct("<Q?HHB?QQIIIdd")
_REPLY = Struct(f"<QBIBIdd{_OUTPUTS * _AXES}I")


class Frames(Generic[Message]):
    """Cuts a stream into messages of one size."""

    def __init__(self, frame: Struct, message: Callable[[Fields], Message]) -> None:
        self._frame, self._message = frame, message
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole with the data that came."""
        data = self._rest + data
        whole = len(data) - len(data) % self._frame.size
        self._rest = data[whole:]
        return map(self._message, self._frame.iter_unpack(data[:whole]))


def asks() -> Frames[Ask]:
    return Frames(_ASK, Ask._make)


def replies() -> Frames[Reply]:
    return Frames(_REPLY, _reply)


def _reply(fields: Fields) -> Reply:
    axes = fields[-_OUTPUTS * _AXES :]
    shapes = (tuple(int(axis) for axis in axes[n : n + _AXES] if axis) for n in range(0, len(axes), _AXES))
    return Reply._make((*fields[: -_OUTPUTS * _AXES], tuple(filter(None, shapes))))
