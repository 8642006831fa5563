"""Decoders: where files are decoded, and objects separated, in this process or in others that can be killed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from models.decode import recognised
from models.image import Array
from models.objects import separate
from models.source import Source
from models.spec import ModelSpec
from service.errors import SandboxFailed
from service.sandbox.decode_process import Admit, DecodeProcess
from service.sandbox.fork_server import ForkServer
from service.scheduling.work import Deadline

KEEPS_MEMORY = {  # glibc would give an image's memory back at once; the next one would take it anew, page by page
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # bytes; glibc takes no more
    "MALLOC_TRIM_THRESHOLD_": str(2**25),
}
_BRIEF_PIXELS = 2**17  # objects are separated sooner than another process could begin to
_CHILD = "service.sandbox.decode_child"


class Decoders(Protocol):
    """Opens image files, for any thread."""

    @contextmanager
    def opened(self, data: bytes, deadline: Deadline, *, admit: Admit) -> Iterator[Source]:
        """See DecodeProcess.opened."""

    def separate(self, probabilities: Array, spec: ModelSpec, deadline: Deadline) -> Array:
        """See DecodeProcess.separate."""


class InProcess:
    """Decoders for files whose sender may as well end this process."""

    @contextmanager
    def opened(self, data: bytes, deadline: Deadline, *, admit: Admit) -> Iterator[Source]:
        decoder = recognised(data)
        probed = decoder.probe(data)
        admit(probed)
        yield decoder.open(data, probed)

    def separate(self, probabilities: Array, spec: ModelSpec, deadline: Deadline) -> Array:
        return separate(probabilities, spec)


class DecodeProcesses:
    """Decoders in child processes, one for each thread, started by its first file."""

    def __init__(self) -> None:
        self._server = ForkServer(_CHILD, variables=KEEPS_MEMORY)
        self._start_child = partial(self._server.start, f"{_CHILD}:main")
        self._of_thread = threading.local()
        self._processes: list[DecodeProcess] = []

    def start(self) -> None:
        """Starts what the first file would otherwise wait for; the file tries again, if that fails."""
        with suppress(SandboxFailed):
            self._start_child().end()

    @contextmanager
    def opened(self, data: bytes, deadline: Deadline, *, admit: Admit) -> Iterator[Source]:
        with self._own().opened(data, deadline, admit=admit) as source:
            yield source

    def separate(self, probabilities: Array, spec: ModelSpec, deadline: Deadline) -> Array:
        if probabilities[0].size <= _BRIEF_PIXELS:
            return separate(probabilities, spec)
        return self._own().separate(probabilities, spec, deadline)

    def _own(self) -> DecodeProcess:
        process: DecodeProcess | None = getattr(self._of_thread, "process", None)
        if process is None:
            process = self._of_thread.process = DecodeProcess(self._start_child)
            self._processes.append(process)
        return process

    def close(self) -> None:
        """Kills every child, whatever it decodes."""
        self._server.close()
        for process in self._processes:
            process.close()
