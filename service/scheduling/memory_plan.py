"""Memory plan: how the memory of the machine or container is shared, so that all that is admitted fits at once."""

from dataclasses import dataclass

from models.errors import StriateError
from service.process.container import memory_bytes
from service.settings import Settings

MIB = 2**20
SMALL_ROOM_BYTES = 64 * MIB  # what all small requests of a front end may take together, beside its budget
# What idle processes take, measured with one network and rounded up: BentoML's, which also starts the others, with the
# server of proofs; each front end with its server of decoders, and what its allocator keeps; a decoder, with what it
# keeps; the engine.
_SERVICE, _FRONT_END, _DECODER, _ENGINE = 160 * MIB, 190 * MIB, 45 * MIB, 112 * MIB
_PROOFS, _MOST_FOR_PROOFS = 0.2, 2048 * MIB  # of the whole: packages are proved beside what serves
_ACTIVATIONS, _WEIGHTS = 0.42, 0.1  # of the rest; images, bodies and answers have what is left
_U_NET, _MOST_FOR_U_NET = 160 * MIB, 0.55  # what a usual U-Net's smallest tile takes, if it leaves the others enough
_LEAST_LEFT = 224 * MIB  # for a service that can do anything


class TooLittleMemory(StriateError):
    """The service would be killed for want of memory; it does not start."""

    code = "too_little_memory"

    def __init__(self, given: int, *, needed: int) -> None:
        super().__init__(
            f"There are {given // MIB:,} MiB of memory; with these settings the service needs {-(-needed // MIB):,}."
        )


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Shares of the memory, in bytes.

    images: of each front end, for bodies, images and answers. activations: of all networks that run, on a CPU.
    weights: of all loaded networks. proofs: of the processes that prove packages.
    """

    images: int
    activations: int
    weights: int
    proofs: int

    @classmethod
    def of(cls, settings: Settings) -> "MemoryPlan":
        """Raises TooLittleMemory."""
        front_ends, decoders = settings.front_ends, settings.worker_threads
        return divided(memory_bytes(), front_ends=front_ends, decoders=decoders, image_bytes=settings.image_bytes)


def divided(total: int, *, front_ends: int = 1, decoders: int = 2, image_bytes: int = 0) -> MemoryPlan:
    """Divides `total` bytes. decoders: of each front end. image_bytes: what images are to have together; 0 for a share.

    Raises TooLittleMemory.
    """
    front_end = _FRONT_END + decoders * _DECODER + SMALL_ROOM_BYTES
    processes = _SERVICE + front_ends * front_end + (front_ends > 1) * _ENGINE
    proofs = min(round(_PROOFS * total), _MOST_FOR_PROOFS)
    left = total - processes - proofs - image_bytes
    if left < _LEAST_LEFT:
        raise TooLittleMemory(total, needed=round((processes + _LEAST_LEFT + image_bytes) / (1 - _PROOFS)))
    activations = round(max(_ACTIVATIONS * left, min(_U_NET, _MOST_FOR_U_NET * left)))
    weights = round(_WEIGHTS * left)
    images = image_bytes or left - activations - weights
    return MemoryPlan(images // front_ends, activations, weights, proofs)
