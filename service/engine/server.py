"""The engine's side: it takes front ends in, and their tensors to the batchers."""

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
    Ask,
    Catalogue,
    CatalogueEntry,
    Outcome,
    Reply,
    Sound,
    Unfit,
    asks,
    names,
)
from service.engine.shared_memory import SharedSegment, copied, placed
from service.errors import DeadlinePassed, NotReady, QueueFull
from service.inference import InferenceFailed
from service.repository.state import Repository, ServedModel
from service.scheduling.work import Deadline, Priority, Work
from service.scheduling.work_item import InferenceResult
from service.telemetry.log import log

_HELLO_S = 10.0
_NEWS = Reply(0, Outcome.NEWS)


class EngineServer:
    """Takes front ends in, and tells those that are there when something else serves."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._repository = Repository()
        self._present: set[FrontEnd] = set()

    async def publish(self, now: Repository) -> None:
        """What serves from now on; a front end keeps what it was told until it has connected anew."""
        self._repository = now
        self._begun.set()
        for front_end in self._present:
            front_end.send(_NEWS)

    def tell_loaded(self) -> None:
        for front_end in self._present:
            front_end.tell_loaded()

    async def serve(self, listener: socket.socket) -> None:
        """Takes in every front end that connects to a listening Unix socket, once something has been published."""
        await self._begun.wait()
        listener.setblocking(False)
        async with asyncio.TaskGroup() as arriving:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                arriving.create_task(self._take_in(connection))

    async def _take_in(self, connection: socket.socket) -> None:
        """Receives the front end's memory, says what serves, and leaves the connection to a FrontEnd."""
        loop, front_end = asyncio.get_running_loop(), None
        try:
            async with asyncio.timeout(_HELLO_S):
                await _readable(connection)
                told = self._repository
                front_end = FrontEnd(_shared(connection), tuple(told.all_models()), self._present)
                await loop.sock_sendall(connection, greeting(told))
                await loop.connect_accepted_socket(lambda: front_end, connection)
        except (OSError, ValueError) as error:  # it ended before it had begun
            connection.close()
            if front_end:
                front_end.release()
            log.write("warning", "front end refused", reason=type(error).__name__)
            return
        if self._repository is not told:
            front_end.send(_NEWS)


def greeting(repository: Repository) -> bytes:
    """The catalogue, its length before it."""
    catalogue = Catalogue(
        known=tuple(_known(model, repository) for model in repository.all_models()),
        refused=tuple(
            Unfit(name=refused.name, version=refused.version, reason=refused.reason) for refused in repository.invalid
        ),
        spare=tuple(
            Sound(folder=spare.package.folder, spec=spare.package.spec, sha256=spare.package.sha256)
            for spare in repository.inactive
        ),
        plans=repository.rollouts,
    )
    text = catalogue.model_dump_json().encode()
    return LENGTH.pack(len(text)) + text


def _known(model: ServedModel, repository: Repository) -> CatalogueEntry:
    name = model.spec.name
    canary = repository.canaries.get(name)
    share = canary.percent if canary and canary.model is model else 0.0
    return CatalogueEntry(
        folder=model.package.folder,
        spec=model.spec,
        sha256=model.package.sha256,
        provider=model.provider,
        nbytes=model.nbytes,
        loaded=model.batcher.loaded,
        role="serves" if repository.served[name] is model else "canary" if share else "shadow",
        share=share,
    )


def _shared(connection: socket.socket) -> SharedSegment:
    """The memory whose descriptor comes with the front end's first byte. Raises ValueError, OSError."""
    _, (descriptor,), _, _ = socket.recv_fds(connection, len(HELLO), 1)
    try:
        return SharedSegment(descriptor)
    finally:
        os.close(descriptor)


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)


class FrontEnd(asyncio.Protocol):
    """One front end: each Ask becomes an item of a batcher, and its outputs lie where its tensor lay."""

    def __init__(self, memory: SharedSegment, models: Sequence[ServedModel], present: "set[FrontEnd]") -> None:
        """models: in the catalogue's order; none is freed before release(). present: where it is while connected."""
        self._memory, self._models, self._present = memory, models, present
        self._held = ExitStack()
        for model in models:
            self._held.enter_context(model.use)
        self._running: dict[int, asyncio.Task[InferenceResult]] = {}
        self._asks = asks()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._present.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._present.discard(self)
        self.release()
        for running in self._running.values():
            running.cancel()

    def release(self) -> None:
        self._held.close()

    def tell_loaded(self) -> None:
        for place, model in enumerate(self._models):
            self.send(Reply(place, Outcome.LOADED if model.batcher.loaded else Outcome.UNLOADED))

    def data_received(self, data: bytes) -> None:
        for ask in self._asks.feed(data):
            if not ask.cancels:
                self._submit(ask)
            elif ask.number in self._running:
                self._running[ask.number].cancel()

    def _submit(self, ask: Ask) -> None:
        model = self._models[ask.model]
        submitted = model.batcher.submit(
            self._memory.array(ask.begin, (1, ask.channels, ask.height, ask.width)),
            names(model.spec.every_output, ask.outputs),
            Work(Deadline(ask.deadline_at, ask.timeout_s), Priority(ask.priority), has_place=ask.admitted),
        )
        running = asyncio.get_running_loop().create_task(submitted)
        self._running[ask.number] = running
        running.add_done_callback(partial(self._ended, ask))

    def _ended(self, ask: Ask, ended: asyncio.Task[InferenceResult]) -> None:
        """From here on a cancellation comes too late, so the slot is ours until we reply.

        A run whose item was cancelled may read the slot for longer; nobody gets what it makes of that.
        """
        del self._running[ask.number]
        if ended.cancelled():
            self.send(Reply(ask.number, Outcome.LEFT))
        elif error := ended.exception():
            self._fail(ask, error)
        else:
            self._answer(ask, ended.result())

    def _answer(self, ask: Ask, ran: InferenceResult) -> None:
        outputs = list(ran.outputs.values())
        shapes = tuple(output.shape for output in outputs)
        *places, end = placed(ask.begin, shapes)
        if end > ask.end:
            self._say(ask, Outcome.FAILED, f"Its outputs are {shapes}, larger than rdf.yaml describes.")
            return
        reply = Reply(
            ask.number, Outcome.RAN, ran.batch_size, ran.close_reason or 0, 0, ran.queue_s, ran.infer_s, shapes
        )
        targets = [self._memory.array(place, shape) for place, shape in zip(places, shapes)]
        copied(partial(_copy, targets, outputs), lambda _: self.send(reply), size=end - ask.begin)

    def _fail(self, ask: Ask, error: BaseException) -> None:
        if isinstance(error, QueueFull):
            self.send(Reply(ask.number, Outcome.FULL, retry_after_s=error.retry_after_s))
        elif isinstance(error, DeadlinePassed):
            self.send(Reply(ask.number, Outcome.LATE))
        elif isinstance(error, InferenceFailed):
            self._say(ask, Outcome.FAILED, str(error))
        elif isinstance(error, MemoryError):
            self.send(Reply(ask.number, Outcome.SHORT))
        elif isinstance(error, NotReady):
            self._say(ask, Outcome.UNREADY, str(error))
        else:
            if isinstance(error, Exception):
                log.bug(error, request_id="engine")
            self._say(ask, Outcome.BROKEN, type(error).__name__)

    def _say(self, ask: Ask, outcome: Outcome, text: str) -> None:
        said = text.encode()[: ask.end - ask.begin]
        self._memory.write(ask.begin, said)
        self.send(Reply(ask.number, outcome, len(said)))

    def send(self, reply: Reply) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply.packed())


def _copy(targets: Sequence[Array], sources: Sequence[Array]) -> None:
    for target, source in zip(targets, sources):
        np.copyto(target, source)
