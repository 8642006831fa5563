"""Engine client: the batchers of a front end, whose networks run in the engine process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from models.image import Array
from models.package import Package
from models.spec import ModelSpec
from service.engine.channel import EngineAnswer, EngineConnection, connect, engine_ended
from service.engine.messages import Catalogue, Outcome, RunRequest, ValidPackage, output_mask, output_names
from service.engine.shared_memory import Shape, aligned_offsets
from service.errors import DeadlinePassed, NotReady, QueueFull
from service.inference import InferenceFailed
from service.repository.invalid_package import InvalidPackage
from service.repository.state import CanaryModel, InactivePackage, Repository, ServedModel
from service.scheduling.cost_model import BatchCloseReason
from service.scheduling.work import Deadline, Work
from service.scheduling.work_item import InferenceResult
from service.telemetry.model_metrics import Statistics

OnConnect = Callable[[Repository], Awaitable[None]]

_RETRY_S = 0.5


async def follow_engine(
    path: Path, *, length: int, wanted: tuple[str, ...], on_connect: OnConnect, on_loss: Callable[[], None]
) -> None:
    """Connects to the engine, reconnects when its models change or it ends, and returns when its parent has ended.

    length: the engine's limit of items per model. on_connect: called with the engine's repository; its callee closes
    the previous one. on_loss: called when an engine has ended.
    """
    connection, statistics = None, dict[str, Statistics]()
    try:
        while True:
            try:
                catalogue, connection = await connect(path)
            except (ConnectionRefusedError, FileNotFoundError):  # the parent process has ended
                return
            except OSError:  # the engine ended while accepting
                if connection and connection.lost:
                    on_loss()
                await asyncio.sleep(_RETRY_S)
                continue
            repository = _repository(catalogue, connection, length=length, wanted=wanted, statistics=statistics)
            statistics = {model.package.sha256: model.statistics for model in repository.all_models()}
            await on_connect(repository)
            await connection.stale
            if connection.lost:
                on_loss()
    finally:
        if connection:
            connection.close()


class RemoteBatcher:
    """A proxy of a Batcher in the engine process, which serves every front end."""

    def __init__(self, connection: EngineConnection, index: int, spec: ModelSpec, *, length: int) -> None:
        """index: of the catalogue entry. length: items that may wait or run, of all front ends together."""
        self.connection, self._index, self._spec, self._length = connection, index, spec, length
        self._pending = 0

    @property
    def depth(self) -> int:
        """The items of this front end that wait or run."""
        return self._pending

    def run_inline(self, tensor: Array, outputs: Sequence[str], work: Work) -> None:
        """Returns None: its network is in another process."""

    def run_brief(self, tensor: Array, outputs: Sequence[str], work: Work) -> None:
        """Returns None: its network is in another process."""

    async def submit(self, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult:
        """Runs as Batcher.submit does. Raises NotReady too if the engine ends."""
        request = RunRequest(
            number=0,
            model=self._index,
            outputs=output_mask(self._spec.every_output, outputs),
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
            answer = await self.connection.run(tensor, request, output_bytes=self._output_bytes(outputs, tensor.shape))
        finally:
            self._pending -= 1
            work.reservation.release()
        reply = answer.reply
        if reply.outcome != Outcome.COMPLETED:
            raise self._error(answer, work.deadline)
        arrays = dict(zip(output_names(self._spec.every_output, request.outputs), answer.outputs))
        close_reason = BatchCloseReason(reply.close_reason) if reply.close_reason else None
        return InferenceResult(arrays, reply.queue_s, reply.infer_s, reply.size, close_reason)

    @property
    def loaded(self) -> bool:
        return self._index not in self.connection.unloaded

    def close(self) -> None:
        """Closes the connection, which all versions share."""
        self.connection.close()

    async def aclose(self) -> None:
        self.connection.close()

    def _output_bytes(self, outputs: Sequence[str], shape: Shape) -> int:
        """Returns the bytes of these outputs for an input of this shape, as described by rdf.yaml."""
        _, _, height, width = shape
        return aligned_offsets(0, [(1, *self._spec.output_shape(name, (height, width))) for name in outputs])[-1]

    def _error(self, answer: EngineAnswer, deadline: Deadline) -> Exception:
        match Outcome(answer.reply.outcome):
            case Outcome.FULL:
                return QueueFull(self._length, retry_after_s=answer.reply.retry_after_s)
            case Outcome.LATE:
                return DeadlinePassed(deadline.timeout_s)
            case Outcome.FAILED:
                return InferenceFailed(answer.text)
            case Outcome.NOT_READY:
                return NotReady(answer.text)
            case Outcome.NO_MEMORY:
                return MemoryError("in the engine")
            case Outcome.CANCELLED:  # not by this front end: the engine is about to end
                return engine_ended()
            case _:
                return RuntimeError(f"{answer.text} in the engine; see its log")


def _repository(
    catalogue: Catalogue,
    connection: EngineConnection,
    *,
    length: int,
    wanted: tuple[str, ...],
    statistics: dict[str, Statistics],
) -> Repository:
    """Builds the repository of a catalogue. statistics: by digest, of versions that continue."""
    repository = Repository(
        wanted=wanted,
        invalid=tuple(InvalidPackage(entry.name, entry.version, entry.reason) for entry in catalogue.invalid),
        inactive=tuple(InactivePackage(_package(valid)) for valid in catalogue.inactive),
        rollouts=catalogue.rollouts,
        absence=catalogue.absence,
    )
    for index, entry in enumerate(catalogue.entries):
        batcher = RemoteBatcher(connection, index, entry.spec, length=length)
        counts = statistics.get(entry.sha256) or Statistics()
        model = ServedModel(
            _package(entry), entry.provider, batcher, entry.nbytes, counts, largest_tile=entry.largest_tile
        )
        name = entry.spec.name
        if not entry.loaded:
            connection.unloaded.add(index)
        match entry.role:
            case "serves":
                repository.served[name] = model
            case "canary":
                repository.canaries[name] = CanaryModel(model, entry.share)
            case "shadow":
                repository.shadows[name] = model
    return repository


def _package(valid: ValidPackage) -> Package:
    return Package(valid.folder, valid.spec, valid.sha256)
