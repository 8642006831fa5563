"""Channel: a front end's connection to the engine, and the memory that they share."""

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
from service.engine.messages import HELLO, LENGTH, Catalogue, Outcome, Reply, RunRequest, replies
from service.engine.shared_memory import (
    RETAINED_BYTES,
    SharedSegment,
    SlotAllocator,
    aligned_offsets,
    anonymous_memory,
    copy_then,
)
from service.errors import NotReady, QueueFull

_MIN_SLOT_BYTES = 1024  # room for an error message


class EngineAnswer(NamedTuple):
    """The engine's reply. outputs: as requested, if it completed. text: the error message, if it failed."""

    reply: Reply
    outputs: list[Array]
    text: str


@dataclass(eq=False, slots=True)
class PendingCall:
    """A request that awaits the engine's reply. slot: reserved until then."""

    slot: range
    answer: asyncio.Future[EngineAnswer]


class EngineConnection(asyncio.Protocol):
    """The connection to one engine process, and the memory shared with it.

    unloaded: indices in the catalogue. stale: done when the catalogue has changed, or the engine is lost.
    """

    def __init__(self, memory: SharedSegment) -> None:
        self.memory, self.slots = memory, SlotAllocator()
        self._pending: dict[int, PendingCall] = {}
        self._numbers = count()
        self._replies = replies()
        self.unloaded: set[int] = set()
        self.stale: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for call in self._pending.values():
            if not call.answer.done():
                call.answer.set_exception(engine_ended())
        self._pending.clear()
        self.lost = True
        self._expire()

    def data_received(self, data: bytes) -> None:
        for reply in self._replies.feed(data):
            match reply.outcome:
                case Outcome.CATALOGUE_CHANGED:
                    self._expire()
                case Outcome.LOADED:
                    self.unloaded.discard(reply.number)
                case Outcome.UNLOADED:
                    self.unloaded.add(reply.number)
                case _:
                    self._receive(self._pending.pop(reply.number), reply)

    @property
    def is_idle(self) -> bool:
        """Whether no request is pending and no slot in use."""
        return not self._pending and not self.slots.high_water

    def close(self) -> None:
        self._transport.close()

    async def run(self, tensor: Array, request: RunRequest, *, output_bytes: int) -> EngineAnswer:
        """Runs a tensor (1, C, H, W) float32; the request's number and slot are filled in here.

        Its cancellation cancels the request. Raises NotReady if the engine ends, QueueFull if the memory is full.
        """
        if self._transport.is_closing():
            raise engine_ended()
        slot = self.slots.allocate(max(output_bytes, tensor.nbytes, _MIN_SLOT_BYTES))
        if slot is None:
            raise QueueFull(len(self._pending))
        request = request._replace(number=next(self._numbers), begin=slot.start, end=slot.stop)
        call = self._pending[request.number] = PendingCall(slot, asyncio.get_running_loop().create_future())
        target = self.memory.array(slot.start, tensor.shape)
        copy_then(partial(np.copyto, target, tensor), lambda _: self._send_run(call, request), size=tensor.nbytes)
        try:
            return await call.answer
        finally:
            if request.number in self._pending:
                self._send(RunRequest(request.number, cancels=True))

    def _expire(self) -> None:
        if not self.stale.done():
            self.stale.set_result(None)

    def _send_run(self, call: PendingCall, request: RunRequest) -> None:
        """Sends the request once its tensor is in the slot, unless it was cancelled or the engine has ended."""
        if not call.answer.done():
            self._send(request)
        elif self._pending.pop(request.number, None):
            self._release(call.slot)

    def _send(self, request: RunRequest) -> None:
        if not self._transport.is_closing():
            self._transport.write(request.pack())

    def _receive(self, call: PendingCall, reply: Reply) -> None:
        """Copies the outputs from the slot, unless the request was cancelled."""
        has_text = reply.outcome in (Outcome.FAILED, Outcome.BUG, Outcome.NOT_READY)
        text = self.memory.read(call.slot.start, reply.size).decode(errors="replace") if has_text else ""
        shapes = () if call.answer.done() else reply.shapes
        *offsets, end = aligned_offsets(call.slot.start, shapes)
        views = [self.memory.array(offset, shape) for offset, shape in zip(offsets, shapes)]
        copy_then(
            lambda: [view.copy() for view in views],
            lambda outputs: self._resolve(call, EngineAnswer(reply, outputs, text)),
            size=end - call.slot.start,
        )

    def _resolve(self, call: PendingCall, answer: EngineAnswer) -> None:
        self._release(call.slot)
        if not call.answer.done():
            call.answer.set_result(answer)

    def _release(self, slot: range) -> None:
        high_water = self.slots.high_water
        self.slots.release(slot)
        if high_water > RETAINED_BYTES and not self.slots.high_water:
            self.memory.free_from(RETAINED_BYTES)


async def connect(path: Path) -> tuple[Catalogue, "EngineConnection"]:
    """Connects to the engine, and waits until it accepts. Raises OSError."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        unix_socket = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix_socket.setblocking(False)
        await loop.sock_connect(unix_socket, str(path))
        memory = _share_memory(unix_socket)
        (size,) = LENGTH.unpack(await _receive_bytes(unix_socket, LENGTH.size))
        catalogue = Catalogue.model_validate_json(await _receive_bytes(unix_socket, size))
        _, connection = await loop.create_unix_connection(partial(EngineConnection, memory), sock=unix_socket)
        stack.pop_all()
    return catalogue, connection


def _share_memory(unix_socket: socket.socket) -> SharedSegment:
    """Creates memory, and sends its descriptor to the engine."""
    descriptor = anonymous_memory()
    try:
        socket.send_fds(unix_socket, [HELLO], [descriptor])
        return SharedSegment(descriptor)
    finally:
        os.close(descriptor)


async def _receive_bytes(unix_socket: socket.socket, size: int) -> bytes:
    """Receives exactly `size` bytes. Raises ConnectionResetError if the stream ends before."""
    data = b""
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(unix_socket, size - len(data))
        if not more:
            raise ConnectionResetError("the engine ended")
        data += more
    return data


def engine_ended() -> NotReady:
    return NotReady("The engine process has ended and is being restarted; retry in a few seconds.")
