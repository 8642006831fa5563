"""Engine server: accepts front ends, and submits their tensors to the batchers."""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import cast

import numpy as np

from models.image import Array
from service.engine.messages import (
    HELLO,
    LENGTH,
    Catalogue,
    CatalogueEntry,
    InvalidEntry,
    Outcome,
    Reply,
    RunRequest,
    ValidPackage,
    output_names,
    run_requests,
)
from service.engine.shared_memory import SharedSegment, aligned_offsets, copy_then
from service.errors import DeadlinePassed, NotReady, QueueFull
from service.inference import InferenceFailed
from service.repository.state import Repository, ServedModel
from service.scheduling.work import Deadline, Priority, Work
from service.scheduling.work_item import InferenceResult
from service.telemetry.log import log

_HELLO_S = 10.0
_CATALOGUE_CHANGED = Reply(0, Outcome.CATALOGUE_CHANGED)


class EngineServer:
    """The server that accepts front ends, and notifies them of changes."""

    def __init__(self) -> None:
        self._published = asyncio.Event()
        self._repository = Repository()
        self._connected: set[FrontEndConnection] = set()

    async def publish(self, repository: Repository) -> None:
        """Puts a repository into effect; connected front ends use the previous one until they reconnect."""
        self._repository = repository
        self._published.set()
        for front_end in self._connected:
            front_end.send(_CATALOGUE_CHANGED)

    def notify_loaded(self) -> None:
        for front_end in self._connected:
            front_end.notify_loaded()

    async def serve(self, listener: socket.socket) -> None:
        """Accepts every front end that connects to a listening Unix socket, once a repository is published."""
        await self._published.wait()
        listener.setblocking(False)
        async with asyncio.TaskGroup() as tasks:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                tasks.create_task(self._accept(connection))

    async def _accept(self, connection: socket.socket) -> None:
        """Receives the front end's memory, sends the catalogue, and hands the socket to a FrontEndConnection."""
        loop, front_end = asyncio.get_running_loop(), None
        try:
            async with asyncio.timeout(_HELLO_S):
                await _wait_until_readable(connection)
                repository = self._repository
                models = tuple(repository.all_models())
                front_end = FrontEndConnection(_receive_memory(connection), models, self._connected)
                await loop.sock_sendall(connection, catalogue_message(repository))
                await loop.connect_accepted_socket(lambda: front_end, connection)
        except (OSError, ValueError) as error:  # the front end ended or sent nonsense
            connection.close()
            if front_end:
                front_end.release()
            log.write("warning", "front end rejected", reason=type(error).__name__)
            return
        if self._repository is not repository:
            front_end.send(_CATALOGUE_CHANGED)


def catalogue_message(repository: Repository) -> bytes:
    """Serialises the catalogue, preceded by its length."""
    catalogue = Catalogue(
        entries=tuple(_entry(model, repository) for model in repository.all_models()),
        invalid=tuple(
            InvalidEntry(name=invalid.name, version=invalid.version, reason=invalid.reason)
            for invalid in repository.invalid
        ),
        inactive=tuple(
            ValidPackage(folder=inactive.package.folder, spec=inactive.package.spec, sha256=inactive.package.sha256)
            for inactive in repository.inactive
        ),
        rollouts=repository.rollouts,
        absence=repository.absence,
    )
    text = catalogue.model_dump_json().encode()
    return LENGTH.pack(len(text)) + text


def _entry(model: ServedModel, repository: Repository) -> CatalogueEntry:
    name = model.spec.name
    canary = repository.canaries.get(name)
    share = canary.percent if canary and canary.model is model else 0.0
    return CatalogueEntry(
        folder=model.package.folder,
        spec=model.spec,
        sha256=model.package.sha256,
        provider=model.provider,
        nbytes=model.nbytes,
        largest_tile=model.largest_tile,
        loaded=model.batcher.loaded,
        role="serves" if repository.served[name] is model else "canary" if share else "shadow",
        share=share,
    )


def _receive_memory(connection: socket.socket) -> SharedSegment:
    """Maps the memory whose descriptor comes with the front end's first byte. Raises ValueError, OSError."""
    _, (descriptor,), _, _ = socket.recv_fds(connection, len(HELLO), 1)
    try:
        return SharedSegment(descriptor)
    finally:
        os.close(descriptor)


async def _wait_until_readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)


class FrontEndConnection(asyncio.Protocol):
    """The connection of one front end: each RunRequest becomes a batcher's item, its outputs replace its tensor."""

    def __init__(
        self, memory: SharedSegment, models: Sequence[ServedModel], connected: "set[FrontEndConnection]"
    ) -> None:
        """models: in the catalogue's order; none is freed before release(). connected: includes it while connected."""
        self._memory, self._models, self._connected = memory, models, connected
        self._uses = ExitStack()
        for model in models:
            self._uses.enter_context(model.use)
        self._running: dict[int, asyncio.Task[InferenceResult]] = {}
        self._requests = run_requests()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._connected.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connected.discard(self)
        self.release()
        for running in self._running.values():
            running.cancel()

    def release(self) -> None:
        self._uses.close()

    def notify_loaded(self) -> None:
        for index, model in enumerate(self._models):
            self.send(Reply(index, Outcome.LOADED if model.batcher.loaded else Outcome.UNLOADED))

    def data_received(self, data: bytes) -> None:
        for request in self._requests.feed(data):
            if not request.cancels:
                self._submit(request)
            elif request.number in self._running:
                self._running[request.number].cancel()

    def _submit(self, request: RunRequest) -> None:
        model = self._models[request.model]
        submitted = model.batcher.submit(
            self._memory.array(request.begin, (1, request.channels, request.height, request.width)),
            output_names(model.spec.every_output, request.outputs),
            Work(
                Deadline(request.deadline_at, request.timeout_s), Priority(request.priority), has_place=request.admitted
            ),
        )
        running = asyncio.get_running_loop().create_task(submitted)
        self._running[request.number] = running
        running.add_done_callback(partial(self._finish, request))

    def _finish(self, request: RunRequest, finished: asyncio.Task[InferenceResult]) -> None:
        """Sends the reply. A cancellation is too late now, so the slot is the engine's until the reply.

        A run whose item was cancelled may still read the slot; its result is discarded.
        """
        del self._running[request.number]
        if finished.cancelled():
            self.send(Reply(request.number, Outcome.CANCELLED))
        elif error := finished.exception():
            self._send_error(request, error)
        else:
            self._send_outputs(request, finished.result())

    def _send_outputs(self, request: RunRequest, result: InferenceResult) -> None:
        outputs = list(result.outputs.values())
        shapes = tuple(output.shape for output in outputs)
        *offsets, end = aligned_offsets(request.begin, shapes)
        if end > request.end:
            text = f"The outputs have shapes {shapes}, larger than described by rdf.yaml."
            self._send_text(request, Outcome.FAILED, text)
            return
        reason, times = result.close_reason or 0, (result.queue_s, result.infer_s)
        reply = Reply(request.number, Outcome.COMPLETED, result.batch_size, reason, 0, *times, shapes)
        targets = [self._memory.array(offset, shape) for offset, shape in zip(offsets, shapes)]
        copy_then(partial(_copy, targets, outputs), lambda _: self.send(reply), size=end - request.begin)

    def _send_error(self, request: RunRequest, error: BaseException) -> None:
        if isinstance(error, QueueFull):
            self.send(Reply(request.number, Outcome.FULL, retry_after_s=error.retry_after_s))
        elif isinstance(error, DeadlinePassed):
            self.send(Reply(request.number, Outcome.LATE))
        elif isinstance(error, InferenceFailed):
            self._send_text(request, Outcome.FAILED, str(error))
        elif isinstance(error, MemoryError):
            self.send(Reply(request.number, Outcome.NO_MEMORY))
        elif isinstance(error, NotReady):
            self._send_text(request, Outcome.NOT_READY, str(error))
        else:
            if isinstance(error, Exception):
                log.exception(error, request_id="engine")
            self._send_text(request, Outcome.BUG, type(error).__name__)

    def _send_text(self, request: RunRequest, outcome: Outcome, text: str) -> None:
        data = text.encode()[: request.end - request.begin]
        self._memory.write(request.begin, data)
        self.send(Reply(request.number, outcome, len(data)))

    def send(self, reply: Reply) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply.pack())


def _copy(targets: Sequence[Array], sources: Sequence[Array]) -> None:
    for target, source in zip(targets, sources):
        np.copyto(target, source)
