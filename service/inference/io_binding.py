"""I/O binding: runs in preallocated buffers, so that no request allocates, searches or compiles anything."""

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np
import onnxruntime

from models.image import Array
from models.outputs import is_tap
from service.inference.device_memory import DeviceMemory
from service.inference.onnxruntime import ERRORS, translated

Shape = tuple[int, ...]
BatchKind = tuple[Shape, tuple[str, ...]]  # the shape of a batch, and the requested taps

_NO_GRAPH = -1


class BoundBuffers:
    """Device buffers for one batch shape (N, C, H, W): for its input and for the named outputs."""

    def __init__(self, session: Any, memory: DeviceMemory, shape: Shape, names: Sequence[str], *, graph: int) -> None:
        """graph: the id of its CUDA graph in ONNX Runtime, or -1."""
        self._session, self._memory, self._graph = session, memory, graph
        self._options = _run_options(graph)
        self._staging = memory.staging(shape)
        self._input = _empty(shape, memory)
        self.upload(shape[0])
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        self._outputs = {name: _empty(shape, memory) for name, shape in self._shapes(names).items()}
        for name, output in self._outputs.items():
            self._binding.bind_ortvalue_output(name, output)
        self.nbytes = sum(int(value.tensor_size_in_bytes()) for value in (self._input, *self._outputs.values()))

    def fill(self, batch: Array) -> None:
        """Fills in a batch (n, C, H, W), n <= N; the other rows keep old values, whose results are discarded."""
        self._staging[: len(batch)] = batch
        self.upload(len(batch))

    def upload(self, rows: int) -> None:
        self._memory.upload(self._staging[:rows], self._input.data_ptr())

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)

    def download(self, name: str, *, rows: int) -> Array:
        """Copies the first rows of an output into a new array."""
        output = self._outputs[name]
        array = np.empty((rows, *output.shape()[1:]), np.float32)
        self._memory.download(output.data_ptr(), array)
        return array

    def release(self) -> None:
        if self._graph != _NO_GRAPH:
            self._session.release_captured_graph(self._graph)

    def _shapes(self, names: Sequence[str]) -> dict[str, Shape]:
        """Returns the shapes of the outputs, found by a run that allocates them: only the network knows them."""
        for name in names:
            self._binding.bind_output(name, self._memory.device)
        self._session.run_with_iobinding(self._binding, _run_options(_NO_GRAPH))
        shapes = {name: tuple(output.shape()) for name, output in zip(names, self._binding.get_outputs())}
        self._binding.clear_binding_outputs()
        return shapes


class BoundSession:
    """A session with preallocated buffers for two concurrent callers: one copies while the other's batch runs.

    The network always runs on the same thread: a CUDA graph and cuDNN's handles belong to the thread that made them.
    """

    lanes = 2

    def __init__(
        self,
        session: Any,
        *,
        memory: DeviceMemory,
        buckets: tuple[int, ...],
        graphs: bool = False,
        idle_limit_bytes: int = 2**30,
    ) -> None:
        """graphs: record the kernels of each shape once and replay them (CUDA graphs).

        idle_limit_bytes: of all idle buffers; beyond it the least recently used kind is released.
        """
        self.provider: str = session.get_providers()[0]
        self.buckets = buckets
        self._session, self._memory, self._idle_limit_bytes = session, memory, idle_limit_bytes
        self._outputs = tuple(output.name for output in session.get_outputs())
        self._device = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._graph_ids = count(1) if graphs else None
        self._idle: OrderedDict[BatchKind, list[BoundBuffers]] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()

    def run(self, batch: Array, outputs: Sequence[str], until: float = math.inf) -> dict[str, Array]:
        size = next((bucket for bucket in self.buckets if bucket >= len(batch)), len(batch))
        try:
            if unknown := set(outputs) - set(self._outputs):
                raise ValueError(f"there is no output {sorted(unknown)}, only {sorted(self._outputs)}")
            # Buffers always include the main outputs, which keeps the kinds few. Taps are large and rarely requested.
            kind = (size, *batch.shape[1:]), tuple(sorted(name for name in outputs if is_tap(name)))
            buffers = self._take(kind)
            buffers.fill(batch)
            self._device.submit(buffers.run).result()
            arrays = {name: buffers.download(name, rows=len(batch)) for name in outputs}
        except ERRORS as error:
            raise translated(error, action="run") from error
        self._give_back(kind, buffers)
        return arrays

    @property
    def idle_buffers(self) -> dict[BatchKind, tuple[int, ...]]:
        """The bytes of each idle buffer by kind, least recently used first."""
        with self._lock:
            return {kind: tuple(buffers.nbytes for buffers in idle) for kind, idle in self._idle.items()}

    @property
    def idle_bytes(self) -> int:
        return sum(buffers.nbytes for idle in self._idle.values() for buffers in idle)

    def _take(self, kind: BatchKind) -> BoundBuffers:
        with self._lock:
            if self._idle.get(kind):
                return self._idle[kind].pop()
        return self._device.submit(self._allocate, kind).result()

    def _allocate(self, kind: BatchKind) -> BoundBuffers:
        """Allocates buffers for every lane and returns one: a second caller must not wait for another first run."""
        with self._lock:
            if self._idle.get(kind):  # allocated by another caller while this one waited for the thread
                return self._idle[kind].pop()
        buffers, *others = [self._new_buffers(kind) for _ in range(self.lanes)]
        with self._lock:
            self._idle.setdefault(kind, []).extend(others)
        return buffers

    def _new_buffers(self, kind: BatchKind) -> BoundBuffers:
        shape, taps = kind
        names = [name for name in self._outputs if name in taps or not is_tap(name)]
        graph = next(self._graph_ids) if self._graph_ids else _NO_GRAPH
        buffers = BoundBuffers(self._session, self._memory, shape, names, graph=graph)
        buffers.run()  # records its graph
        return buffers

    def _give_back(self, kind: BatchKind, buffers: BoundBuffers) -> None:
        with self._lock:
            self._idle.setdefault(kind, []).append(buffers)
            self._idle.move_to_end(kind)
            while len(self._idle) > 1 and self.idle_bytes > self._idle_limit_bytes:
                for released in self._idle.popitem(last=False)[1]:
                    self._device.submit(released.release)


def _empty(shape: Shape, memory: DeviceMemory) -> Any:
    """Allocates an uninitialised float32 tensor on the device."""
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, memory.device)


def _run_options(graph: int) -> Any:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options
