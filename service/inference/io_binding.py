"""Runs between buffers that stay where they are: nothing is allocated, searched or compiled in a request."""

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
from service.inference.onnxruntime import failing

Shape = tuple[int, ...]
Kind = tuple[Shape, tuple[str, ...]]  # of a batch, and the taps that are asked for

_NO_GRAPH = -1


class BoundBuffers:
    """One shape of batch (N, C, H, W), with buffers on the device for its input and for these outputs."""

    def __init__(self, session: Any, memory: DeviceMemory, shape: Shape, names: Sequence[str], *, graph: int) -> None:
        """graph: the number by which ONNX Runtime is to keep its CUDA graph, or -1."""
        self._session, self._memory, self._graph = session, memory, graph
        self._options = _numbered(graph)
        self._staging = memory.staging(shape)
        self._input = _empty(shape, memory)
        self.upload(shape[0])
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        self._outputs = {name: _empty(found, memory) for name, found in self._shapes(names).items()}
        for name, output in self._outputs.items():
            self._binding.bind_ortvalue_output(name, output)
        self.nbytes = sum(int(value.tensor_size_in_bytes()) for value in (self._input, *self._outputs.values()))

    def fill(self, batch: Array) -> None:
        """batch (n, C, H, W), n <= N. What a former batch left in the other rows is computed for nothing."""
        self._staging[: len(batch)] = batch
        self.upload(len(batch))

    def upload(self, rows: int) -> None:
        self._memory.upload(self._staging[:rows], self._input.data_ptr())

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)

    def answer(self, name: str, *, rows: int) -> Array:
        """The first rows of an output, in memory of their own."""
        output = self._outputs[name]
        answer = np.empty((rows, *output.shape()[1:]), np.float32)
        self._memory.download(output.data_ptr(), answer)
        return answer

    def release(self) -> None:
        if self._graph != _NO_GRAPH:
            self._session.release_captured_graph(self._graph)

    def _shapes(self, names: Sequence[str]) -> dict[str, Shape]:
        """What shapes the outputs have: only the network knows, and tells by a run into memory of its own."""
        for name in names:
            self._binding.bind_output(name, self._memory.device)
        self._session.run_with_iobinding(self._binding, _numbered(_NO_GRAPH))
        found = {name: tuple(output.shape()) for name, output in zip(names, self._binding.get_outputs())}
        self._binding.clear_binding_outputs()
        return found


class BoundSession:
    """A session whose batches lie in prepared buffers. Two callers at once: one copies while the other's batch runs.

    The network runs in one thread, whoever asks: a CUDA graph and cuDNN's handles belong to the thread that made them.
    """

    lanes = 2

    def __init__(
        self,
        session: Any,
        *,
        memory: DeviceMemory,
        buckets: tuple[int, ...],
        graphs: bool = False,
        kept_bytes: int = 2**30,
    ) -> None:
        """graphs: each shape's kernels are recorded once and replayed (CUDA graphs).

        kept_bytes: of all buffers that wait for their next batch; beyond it the kind used longest ago is forgotten.
        """
        self.provider: str = session.get_providers()[0]
        self.buckets = buckets
        self._session, self._memory, self._kept_bytes = session, memory, kept_bytes
        self._outputs = tuple(output.name for output in session.get_outputs())
        self._device = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._numbers = count(1) if graphs else None
        self._waiting: OrderedDict[Kind, list[BoundBuffers]] = OrderedDict()  # used longest ago first
        self._lock = threading.Lock()

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        size = next((bucket for bucket in self.buckets if bucket >= len(batch)), len(batch))
        with failing("run"):
            if unknown := set(outputs) - set(self._outputs):
                raise ValueError(f"it has no output {sorted(unknown)}, only {sorted(self._outputs)}")
            # Buffers for the answers every time: few kinds of batch are then prepared. Taps are large, and seldom.
            kind = (size, *batch.shape[1:]), tuple(sorted(name for name in outputs if is_tap(name)))
            prepared = self._take(kind)
            prepared.fill(batch)
            self._device.submit(prepared.run).result()
            answers = {name: prepared.answer(name, rows=len(batch)) for name in outputs}
        self._give_back(kind, prepared)
        return answers

    def _take(self, kind: Kind) -> BoundBuffers:
        with self._lock:
            if self._waiting.get(kind):
                return self._waiting[kind].pop()
        return self._device.submit(self._prepare, kind).result()

    def _prepare(self, kind: Kind) -> BoundBuffers:
        """Buffers for every lane at once, one of which is taken: a second caller must not find the first run slow."""
        with self._lock:
            if self._waiting.get(kind):  # another caller had them made while this one waited for the thread
                return self._waiting[kind].pop()
        taken, *others = [self._made(kind) for _ in range(self.lanes)]
        with self._lock:
            self._waiting.setdefault(kind, []).extend(others)
        return taken

    def _made(self, kind: Kind) -> BoundBuffers:
        shape, taps = kind
        names = [name for name in self._outputs if name in taps or not is_tap(name)]
        graph = next(self._numbers) if self._numbers else _NO_GRAPH
        prepared = BoundBuffers(self._session, self._memory, shape, names, graph=graph)
        prepared.run()  # its graph is recorded now
        return prepared

    def _give_back(self, kind: Kind, prepared: BoundBuffers) -> None:
        with self._lock:
            self._waiting.setdefault(kind, []).append(prepared)
            self._waiting.move_to_end(kind)
            while len(self._waiting) > 1 and self._kept() > self._kept_bytes:
                for forgotten in self._waiting.popitem(last=False)[1]:
                    self._device.submit(forgotten.release)

    def _kept(self) -> int:
        return sum(prepared.nbytes for waiting in self._waiting.values() for prepared in waiting)


def _empty(shape: Shape, memory: DeviceMemory) -> Any:
    """float32 on the device, not initialised."""
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, memory.device)


def _numbered(graph: int) -> Any:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options
