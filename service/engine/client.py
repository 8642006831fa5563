"""A front end's side: batchers whose networks run in the engine process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from models.image import Array
from models.package import Package
from models.spec import ModelSpec
from service.engine.channel import EngineAnswer, EngineConnection, connect, engine_ended
from service.engine.messages import Ask, Catalogue, Outcome, Sound, bits, names
from service.engine.shared_memory import Shape, placed
from service.errors import DeadlinePassed, NotReady, QueueFull
from service.inference import InferenceFailed
from service.repository.state import CanaryModel, InactivePackage, InvalidPackage, Repository, ServedModel
from service.scheduling.cost_model import BatchCloseReason
from service.scheduling.work import Deadline, Work
from service.scheduling.work_item import InferenceResult
from service.telemetry.model_statistics import Statistics

Joined = Callable[[Repository], Awaitable[None]]

_AGAIN_S = 0.5


async def follow(path: Path, *, length: int, wanted: tuple[str, ...], joined: Joined, lost: Callable[[], None]) -> None:
    """Connects to the engine at `path`, and anew when that serves something else or has ended, until nobody listens.

    length: how many items the engine lets wait for a model. joined: called with what an engine serves; who replaces
    one repository by the next closes the former. lost: called where an engine has ended.
    """
    link, statistics = None, dict[str, Statistics]()
    try:
        while True:
            try:
                catalogue, link = await connect(path)
            except (ConnectionRefusedError, FileNotFoundError):  # the parent of all has ended
                return
            except OSError:  # an engine that ended while it took us in
                if link and link.lost:
                    lost()
                await asyncio.sleep(_AGAIN_S)
                continue
            repository = _repository(catalogue, link, length=length, wanted=wanted, statistics=statistics)
            statistics = {model.package.sha256: model.statistics for model in repository.all_models()}
            await joined(repository)
            await link.stale
            if link.lost:
                lost()
    finally:
        if link:
            link.close()


class RemoteBatcher:
    """What a Batcher is to its callers; the Batcher itself is the engine's, and serves every front end."""

    def __init__(self, link: EngineConnection, place: int, spec: ModelSpec, *, length: int) -> None:
        """place: the model's in the catalogue. length: items that may wait or run, of all front ends together."""
        self._link, self._place, self._spec, self._length = link, place, spec, length
        self._pending = 0

    @property
    def depth(self) -> int:
        """This front end's items that wait or run."""
        return self._pending

    def run_inline(self, tensor: Array, outputs: Sequence[str], work: Work) -> None:
        """Returns None: its network is in another process."""

    def run_brief(self, tensor: Array, outputs: Sequence[str], work: Work) -> None:
        """Returns None: its network is in another process."""

    async def submit(self, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult:
        """Runs as Batcher.submit does. Raises NotReady besides, where the engine ends."""
        ask = Ask(
            number=0,
            model=self._place,
            outputs=bits(self._spec.every_output, outputs),
            priority=work.priority,
            admitted=work.has_place,
            channels=tensor.shape[1],
            height=tensor.shape[2],
            width=tensor.shape[3],
            deadline_at=work.deadline.at,
            timeout_s=work.deadline.timeout_s,
        )
        self._pending += 1
        work.reservation.retain()
        try:
            answer = await self._link.ask(tensor, ask, room=self._room(outputs, tensor.shape))
        finally:
            self._pending -= 1
            work.reservation.release()
        reply = answer.reply
        if reply.outcome != Outcome.RAN:
            raise self._error(answer, work.deadline)
        known = dict(zip(names(self._spec.every_output, ask.outputs), answer.outputs))
        released = BatchCloseReason(reply.released) if reply.released else None
        return InferenceResult(known, reply.queue_s, reply.infer_s, reply.size, released)

    @property
    def loaded(self) -> bool:
        return self._place not in self._link.unloaded

    def close(self) -> None:
        """Of every version over this connection."""
        self._link.close()

    async def aclose(self) -> None:
        self._link.close()

    def _room(self, outputs: Sequence[str], shape: Shape) -> int:
        """Bytes of these outputs for an input of this shape, as rdf.yaml describes them."""
        _, _, height, width = shape
        return placed(0, [(1, *self._spec.output_shape(name, (height, width))) for name in outputs])[-1]

    def _error(self, answer: EngineAnswer, deadline: Deadline) -> Exception:
        match Outcome(answer.reply.outcome):
            case Outcome.FULL:
                return QueueFull(self._length, retry_after_s=answer.reply.retry_after_s)
            case Outcome.LATE:
                return DeadlinePassed(deadline.timeout_s)
            case Outcome.FAILED:
                return InferenceFailed(answer.text)
            case Outcome.UNREADY:
                return NotReady(answer.text)
            case Outcome.SHORT:
                return MemoryError("in the engine")
            case Outcome.LEFT:  # we did not cancel it: the engine is about to end
                return engine_ended()
            case _:
                return RuntimeError(f"{answer.text} in the engine, whose log says where")


def _repository(
    catalogue: Catalogue,
    link: EngineConnection,
    *,
    length: int,
    wanted: tuple[str, ...],
    statistics: dict[str, Statistics],
) -> Repository:
    """statistics: by digest, of versions that go on."""
    now = Repository(
        wanted=wanted,
        invalid=tuple(InvalidPackage(unfit.name, unfit.version, unfit.reason) for unfit in catalogue.refused),
        inactive=tuple(InactivePackage(_package(sound)) for sound in catalogue.spare),
        rollouts=catalogue.plans,
    )
    for place, known in enumerate(catalogue.known):
        queue = RemoteBatcher(link, place, known.spec, length=length)
        counts = statistics.get(known.sha256) or Statistics()
        model, name = ServedModel(_package(known), known.provider, queue, known.nbytes, counts), known.spec.name
        if not known.loaded:
            link.unloaded.add(place)
        match known.role:
            case "serves":
                now.served[name] = model
            case "canary":
                now.canaries[name] = CanaryModel(model, known.share)
            case "shadow":
                now.shadows[name] = model
    return now


def _package(sound: Sound) -> Package:
    return Package(sound.folder, sound.spec, sound.sha256)
