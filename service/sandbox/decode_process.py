"""Decode process: a file is decoded, or objects are separated, in a child process, which is killed if it is late."""

import fcntl
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from models.decode import Probe, recognised
from models.errors import DamagedImage
from models.image import Array
from models.objects import maps_of
from models.source import Level, Region, Source, Spacing, no_level, ranges
from models.spec import ModelSpec
from service.errors import DeadlinePassed, MemoryFull, SandboxFailed
from service.sandbox.decode_messages import DoneMessage, ErrorMessage, ProbeMessage, SourceMessage
from service.sandbox.fork_server import Child
from service.scheduling.work import Deadline

Admit = Callable[[Probe], None]
Answer = TypeVar("Answer", bound=BaseModel)
# Bounds in bytes of what a step may take: reading a header; a copy of the file each for some steps; a pixel.
_HEADER_BYTES, _FILE_COPIES, _PIXEL_BYTES = 2**27, 4, 80


class DecodeProcess:
    """A child process for one file after another; started by the first, and anew after one that ended it."""

    def __init__(self, start: Callable[[], Child]) -> None:
        self._start = start
        self._child: Child | None = None
        self._format = ""

    @contextmanager
    def opened(self, data: bytes, deadline: Deadline, *, admit: Admit) -> Iterator[Source]:
        """Opens a file for the block. admit: called with what the header says, before a pixel is decoded.

        Raises ImageError, DeadlinePassed, MemoryFull, SandboxFailed, and what admit raises.
        """
        self._format = recognised(data).FORMAT.name
        memory = _HEADER_BYTES + _FILE_COPIES * len(data)
        try:
            with _shared(data) as file:
                request = {"probe": {"nbytes": len(data)}, "memory": memory}
                probed = self.ask(request, file, answer=ProbeMessage, deadline=deadline).probe
            admit(probed)
            memory += _PIXEL_BYTES * max(probed.pixels, prod(probed.block or ()))
            opened = self.ask({"open": {}, "memory": memory}, answer=SourceMessage, deadline=deadline)
            yield RemoteSource(opened, self, deadline)
        finally:
            self._forget()

    def separate(self, probabilities: Array, spec: ModelSpec, deadline: Deadline) -> Array:
        """Does what models.objects.separate does. Raises DeadlinePassed, MemoryFull, SandboxFailed."""
        *maps, limits = maps_of(probabilities, spec)
        height, width = shape = probabilities.shape[1:]
        request = {
            "separate": {"shape": shape, "limits": limits},
            "memory": _PIXEL_BYTES * height * width + _HEADER_BYTES,
        }
        nbytes = 4 * height * width
        try:
            with _memory(2 * nbytes) as given, _memory(nbytes) as made:
                np.ndarray((2, *shape), np.float32, mmap.mmap(given, 0))[...] = maps
                self.ask(request, given, made, answer=DoneMessage, deadline=deadline)
                labels = np.array(np.ndarray(shape, np.int32, mmap.mmap(made, 0, prot=mmap.PROT_READ)))
        except DamagedImage as error:
            raise SandboxFailed(str(error)) from error
        finally:
            self._forget()
        if not 0 <= labels.min() <= labels.max() <= labels.size:
            raise SandboxFailed("its labels are none")
        return labels

    def ask(self, request: Mapping[str, Any], *descriptors: int, answer: type[Answer], deadline: Deadline) -> Answer:
        """Has the child do a step. Raises ImageError, DeadlinePassed, MemoryFull, SandboxFailed."""
        child = self._child
        if child is None or not self._send(child, request, *descriptors):
            child = self._child = self._start()
            self._send(child, request, *descriptors)
        try:
            reply, _ = child.channel.receive(timeout_s=deadline.at - time.monotonic())
            if "full" in reply:
                raise MemoryFull
            if "error" in reply:
                raise ErrorMessage.model_validate(reply["error"]).exception
            return answer.model_validate(reply)
        except TimeoutError:
            self._end()
            raise DeadlinePassed(deadline.timeout_s) from None
        except EOFError:
            status = self._end()
            if status == -signal.SIGKILL:  # by the system, for want of memory, or since the service stops
                raise SandboxFailed("it was killed") from None
            raise DamagedImage(self._format, f"its decoder ended with status {status}") from None
        except ValidationError as error:
            self._end()
            raise DamagedImage(self._format, "its decoder gave no sensible answer") from error

    def close(self) -> None:
        self._end()

    def _forget(self) -> None:
        """Has the child give back the memory of what it has done."""
        if self._child:
            self._send(self._child, {"close": {}})

    def _send(self, child: Child, request: Mapping[str, Any], *descriptors: int) -> bool:
        """Returns False if the child has ended."""
        try:
            child.channel.send(request, *descriptors)
        except OSError:
            self._end()
            return False
        return True

    def _end(self) -> int:
        child, self._child = self._child, None
        return child.end() if child else -signal.SIGKILL  # closed meanwhile


class RemoteSource:
    """A Source whose pixels are decoded by a DecodeProcess, into memory that both processes share."""

    def __init__(self, message: SourceMessage, process: DecodeProcess, deadline: Deadline) -> None:
        self.axes, self.format, self.orientation = message.axes, message.format, message.orientation
        self.dtype: np.dtype[Any] = np.dtype(message.dtype)
        self.levels: Sequence[Level] = [Level(tuple(shape), tuple(scale)) for shape, scale in message.levels]
        self.spacing = {axis: Spacing(value, unit) for axis, (value, unit) in message.spacing.items()}
        self.damage = message.damage
        self._process, self._deadline = process, deadline

    def read(self, region: Region | None = None, level: int = 0) -> Array:
        if not 0 <= level < len(self.levels):
            raise no_level(level, len(self.levels))
        parts = ranges(region or {}, self.axes, self.levels[level].shape)
        shape = [part.stop - part.start for part in parts]
        nbytes = prod(shape) * self.dtype.itemsize
        ends = {axis: [part.start, part.stop] for axis, part in zip(self.axes, parts)}
        request = {"read": {"region": ends, "level": level, "nbytes": nbytes}, "memory": 2 * nbytes + _HEADER_BYTES}
        with _memory(nbytes) as memory:
            self._process.ask(request, memory, answer=DoneMessage, deadline=self._deadline)
            pixels: Array = np.ndarray(shape, self.dtype, mmap.mmap(memory, nbytes, prot=mmap.PROT_READ))
            return pixels


@contextmanager
def _shared(data: bytes) -> Iterator[int]:
    """Copies the data into memory that another process can read; yields its descriptor."""
    with _memory(len(data)) as memory:
        written = 0
        while written < len(data):
            written += os.pwrite(memory, memoryview(data)[written:], written)
        yield memory


@contextmanager
def _memory(nbytes: int) -> Iterator[int]:
    """Yields a descriptor of memory whose size nobody can change: reading beyond it would end this process."""
    memory = os.memfd_create("striate-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memory, nbytes)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        yield memory
    finally:
        os.close(memory)
