"""Messages on the engine's socket: its catalogue once, then frames of fixed size; tensors are in shared memory."""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from models.spec import ModelSpec
from service.api.rollout import Rollouts
from service.engine.shared_memory import Shape

Message = TypeVar("Message")
Fields = tuple[int | float, ...]

HELLO = b"\0"  # carries the descriptor of a front end's memory
LENGTH = Struct("<Q")  # of the catalogue that follows

_MAX_OUTPUTS, _MAX_AXES = 4, 4  # of a run, and of an output


class ValidPackage(BaseModel):
    """A package that the engine has verified."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    spec: ModelSpec
    sha256: str


class CatalogueEntry(ValidPackage):
    """A version with a batcher. largest_tile: see ServedModel. share: percent of its model's requests, as a canary."""

    provider: str
    nbytes: int
    largest_tile: int
    loaded: bool
    role: Literal["serves", "canary", "shadow"]
    share: float


class InvalidEntry(BaseModel):
    """A package that cannot be served, and the reason."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    reason: str


class Catalogue(BaseModel):
    """The state of the engine's repository; a RunRequest names a version by its index in `entries`."""

    model_config = ConfigDict(frozen=True)

    entries: tuple[CatalogueEntry, ...]
    invalid: tuple[InvalidEntry, ...]
    inactive: tuple[ValidPackage, ...]
    rollouts: Rollouts
    absence: str = ""


class RunRequest(NamedTuple):
    """A front end's message: run the tensor (1, channels, height, width) float32 at the slot's begin.

    outputs: bit n requests the model's n-th output. deadline_at: seconds of the monotonic clock, which all processes
    of a machine share. cancels: cancel the request of this number; the other fields are ignored.
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

    def pack(self) -> bytes:
        return _RUN_REQUEST.pack(*self)


class Outcome(IntEnum):
    """The outcome of a RunRequest, or an event of the engine."""

    COMPLETED = 0
    CANCELLED = 1
    LATE = 2  # DeadlinePassed
    FULL = 3  # QueueFull
    FAILED = 4  # InferenceFailed; its message is in the slot
    BUG = 5  # an unexpected exception; its name is in the slot
    NOT_READY = 6  # NotReady; its message is in the slot
    CATALOGUE_CHANGED = 7  # an event: reconnect for the new catalogue
    LOADED = 8  # an event: the network of the catalogue entry with this number is in memory
    UNLOADED = 9  # an event: it is no longer in memory
    NO_MEMORY = 10  # MemoryError


class Reply(NamedTuple):
    """The engine's message: one for every RunRequest except a cancellation, after which the slot is free; or an event.

    size: items in the batch if completed, bytes of text in the slot if failed. close_reason: of the batch, 0 for None.
    shapes: of the requested outputs, which lie in the slot one after another.
    """

    number: int
    outcome: int
    size: int = 0
    close_reason: int = 0
    retry_after_s: int = 0
    queue_s: float = 0.0
    infer_s: float = 0.0
    shapes: tuple[Shape, ...] = ()

    def pack(self) -> bytes:
        axes = [axis for shape in self.shapes for axis in (*shape, *[0] * (_MAX_AXES - len(shape)))]
        return _REPLY.pack(*self[:-1], *axes, *[0] * (_MAX_OUTPUTS * _MAX_AXES - len(axes)))


def output_mask(all_names: Sequence[str], requested: Sequence[str]) -> int:
    """Encodes the requested output names as a RunRequest's `outputs`."""
    return sum(1 << n for n, name in enumerate(all_names) if name in requested)


def output_names(all_names: Sequence[str], mask: int) -> tuple[str, ...]:
    """Decodes a RunRequest's `outputs` into names, in the order of all names."""
    return tuple(name for n, name in enumerate(all_names) if mask >> n & 1)


_RUN_REQUEST = Struct("<Q?HHB?QQIIIdd")
_REPLY = Struct(f"<QBIBIdd{_MAX_OUTPUTS * _MAX_AXES}I")


class FrameDecoder(Generic[Message]):
    """A decoder that splits a stream into messages of fixed size."""

    def __init__(self, frame: Struct, message: Callable[[Fields], Message]) -> None:
        self._frame, self._message = frame, message
        self._partial = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Returns the messages that this data completes."""
        data = self._partial + data
        whole = len(data) - len(data) % self._frame.size
        self._partial = data[whole:]
        return map(self._message, self._frame.iter_unpack(data[:whole]))


def run_requests() -> FrameDecoder[RunRequest]:
    return FrameDecoder(_RUN_REQUEST, RunRequest._make)


def replies() -> FrameDecoder[Reply]:
    return FrameDecoder(_REPLY, _reply)


def _reply(fields: Fields) -> Reply:
    axes = fields[-_MAX_OUTPUTS * _MAX_AXES :]
    shapes = (tuple(int(axis) for axis in axes[n : n + _MAX_AXES] if axis) for n in range(0, len(axes), _MAX_AXES))
    return Reply._make((*fields[: -_MAX_OUTPUTS * _MAX_AXES], tuple(filter(None, shapes))))
