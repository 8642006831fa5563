"""The connection of a front end to the engine, and the memory that the two share."""

import asyncio
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from models.image import Array
from service.engine.messages import HELLO, LENGTH, Ask, Catalogue, Outcome, Reply, replies
from service.engine.shared_memory import KEPT, SharedSegment, Slots, anonymous, copied, placed
from service.errors import NotReady, QueueFull

_TEXT = 1024  # bytes in a slot, at least: room for an error's sentence


class EngineAnswer(NamedTuple):
    """outputs: in the order asked for, if it ran. text: what is to be said, if it failed."""

    reply: Reply
    outputs: list[Array]
    text: str


@dataclass(eq=False, slots=True)
class PendingCall:
    """What waits for the engine's Reply. slot: nobody else's until that came."""

    slot: range
    answer: asyncio.Future[EngineAnswer]


class EngineConnection(asyncio.Protocol):
    """The connection to one engine process, and the memory shared with it.

    stale: done when the engine serves something else than it said, or is lost.
    """

    def __init__(self, memory: SharedSegment) -> None:
        self._memory, self._slots = memory, Slots()
        self._asked: dict[int, PendingCall] = {}
        self._numbers = count()
        self._replies = replies()
        self.unloaded: set[int] = set()  # places in the catalogue
        self.stale: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(engine_ended())
        self._asked.clear()
        self.lost = True
        self._expire()

    def data_received(self, data: bytes) -> None:
        for reply in self._replies.feed(data):
            match reply.outcome:
                case Outcome.NEWS:
                    self._expire()
                case Outcome.LOADED:
                    self.unloaded.discard(reply.number)
                case Outcome.UNLOADED:
                    self.unloaded.add(reply.number)
                case _:
                    self._replied(self._asked.pop(reply.number), reply)

    def close(self) -> None:
        self._transport.close()

    async def ask(self, tensor: Array, ask: Ask, *, room: int) -> EngineAnswer:
        """tensor (1, C, H, W) float32. ask: all but its number and slot. room: bytes that the outputs need.

        Who waits no longer cancels. Raises NotReady where the engine ends, QueueFull where the memory is full.
        """
        if self._transport.is_closing():
            raise engine_ended()
        slot = self._slots.take(max(room, tensor.nbytes, _TEXT))
        if slot is None:
            raise QueueFull(len(self._asked))
        ask = ask._replace(number=next(self._numbers), begin=slot.start, end=slot.stop)
        asked = self._asked[ask.number] = PendingCall(slot, asyncio.get_running_loop().create_future())
        target = self._memory.array(slot.start, tensor.shape)
        copied(partial(np.copyto, target, tensor), lambda _: self._written(asked, ask), size=tensor.nbytes)
        try:
            return await asked.answer
        finally:
            if ask.number in self._asked:
                self._send(Ask(ask.number, cancels=True))

    def _expire(self) -> None:
        """What the catalogue said holds no longer."""
        if not self.stale.done():
            self.stale.set_result(None)

    def _written(self, asked: PendingCall, ask: Ask) -> None:
        """The tensor is in its slot; its caller may have left meanwhile, or the engine."""
        if not asked.answer.done():
            self._send(ask)
        elif self._asked.pop(ask.number, None):
            self._give_back(asked.slot)

    def _send(self, ask: Ask) -> None:
        if not self._transport.is_closing():
            self._transport.write(ask.packed())

    def _replied(self, asked: PendingCall, reply: Reply) -> None:
        """Copies what lies in the slot, where somebody still waits for it."""
        failed = reply.outcome in (Outcome.FAILED, Outcome.BROKEN, Outcome.UNREADY)
        text = self._memory.read(asked.slot.start, reply.size).decode(errors="replace") if failed else ""
        shapes = () if asked.answer.done() else reply.shapes
        *places, end = placed(asked.slot.start, shapes)
        views = [self._memory.array(place, shape) for place, shape in zip(places, shapes)]
        copied(
            lambda: [view.copy() for view in views],
            lambda outputs: self._settle(asked, EngineAnswer(reply, outputs, text)),
            size=end - asked.slot.start,
        )

    def _settle(self, asked: PendingCall, answer: EngineAnswer) -> None:
        self._give_back(asked.slot)
        if not asked.answer.done():
            asked.answer.set_result(answer)

    def _give_back(self, slot: range) -> None:
        reach = self._slots.reach
        self._slots.give_back(slot)
        if reach > KEPT and not self._slots.reach:
            self._memory.forget(KEPT)


async def connect(path: Path) -> tuple[Catalogue, "EngineConnection"]:
    """Waits until an engine takes us in. Raises OSError."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.setblocking(False)
        await loop.sock_connect(connection, str(path))
        memory = _shared(connection)
        (size,) = LENGTH.unpack(await _received(connection, LENGTH.size))
        catalogue = Catalogue.model_validate_json(await _received(connection, size))
        _, link = await loop.create_unix_connection(partial(EngineConnection, memory), sock=connection)
        stack.pop_all()
    return catalogue, link


def _shared(connection: socket.socket) -> SharedSegment:
    """Memory that the engine can map too."""
    descriptor = anonymous()
    try:
        socket.send_fds(connection, [HELLO], [descriptor])
        return SharedSegment(descriptor)
    finally:
        os.close(descriptor)


async def _received(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes. Raises ConnectionResetError where they end before."""
    data = b""
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(connection, size - len(data))
        if not more:
            raise ConnectionResetError("the engine ended")
        data += more
    return data


def engine_ended() -> NotReady:
    return NotReady("The engine process has ended and is started again; ask again in some seconds.")
