"""GPU engine benchmark: the service's session against plain ONNX Runtime, without HTTP."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Literal

import numpy as np
import onnxruntime

from benchmarks import report
from benchmarks.gpu_networks import network
from benchmarks.networks import Network
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, AtLeast, Finding, Ratio, interleaved, with_control
from models.image import Array
from service.inference import BUCKETS, CPU, CUDA, Gpu, Session, open_session
from service.inference.cuda import providers
from service.inference.device_memory import CudaMemory, DeviceMemory, HostMemory
from service.inference.io_binding import BoundBuffers, BoundSession
from service.inference.onnxruntime import load

Engine = Literal["cuda", "cuda_graphs", "tensorrt"]
WANTED = ("probabilities",)


@dataclass(frozen=True, slots=True)
class Scale:
    """The extent of the measurement: complete on a GPU; minimal on a CPU, to run the same code."""

    device: Literal["cpu", "cuda"]
    busy: str  # the network whose throughput counts
    quick: str  # the one whose latency counts
    batch: int
    callers: int
    clients: int  # processes that ask
    front_ends: tuple[int, ...]
    engines: tuple[Engine, ...]
    rounds: int
    seconds: float

    @property
    def memory(self) -> DeviceMemory:
        return CudaMemory() if self.device == "cuda" else HostMemory()

    def reach(self, value: float) -> AtLeast | None:
        """Returns the target of a ratio, on a GPU only."""
        return AtLeast(value) if self.device == "cuda" else None


GPU = Scale("cuda", "resnet50", "densenet121", 32, 64, 4, (1, 2, 4, 8), ("cuda", "cuda_graphs"), rounds=5, seconds=3.0)
PROCESSOR = Scale("cpu", "minute", "minute", 4, 4, 1, (1, 2), ("cuda",), rounds=2, seconds=0.2)


def opened(chosen: Network, scale: Scale, *, engine: Engine = "cuda") -> Session:
    """Opens the service's session; on a CPU it uses the GPU's code with host memory."""
    if scale.device == "cuda":
        gpu = Gpu(engine, cache=chosen.root / "tensorrt")
        return open_session(chosen.weights, device="cuda", gpu=gpu, precision=chosen.spec.precision)
    return BoundSession(load(chosen.weights, threads=1, providers=[CPU]), memory=HostMemory(), buckets=BUCKETS)


def plain(chosen: Network, scale: Scale) -> Any:
    """Opens a session as in ONNX Runtime's documentation."""
    return onnxruntime.InferenceSession(chosen.weights, providers=[CUDA if scale.device == "cuda" else CPU])


def tuned(chosen: Network, scale: Scale) -> Any:
    """Opens an ONNX Runtime session with the service's options."""
    ours = providers(Gpu(), chosen.spec.precision) if scale.device == "cuda" else []
    return load(chosen.weights, threads=1, providers=[*ours, CPU])


def batch(chosen: Network, size: int) -> Array:
    """Returns different images, (size, C, H, W) float32."""
    test_input, _ = chosen.package.test_tensors()
    x = test_input
    for step in chosen.spec.input.steps:
        x = step(x[0].transpose(1, 2, 0)).transpose(2, 0, 1)[None]
    return np.concatenate([np.roll(x, n, axis=3) for n in range(size)])


def per_second(run: Callable[[], object], *, images: int, seconds: float) -> float:
    """Images a second, after two runs that do not count."""
    run(), run()
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        run()
        count += images
    return count / passed


def alone(chosen: Network, scale: Scale, *, size: int) -> BoundBuffers:
    """Measures a batch in bound buffers, as the service uses them."""
    images = batch(chosen, size)
    names = chosen.package.spec.output_names
    prepared = BoundBuffers(tuned(chosen, scale), scale.memory, images.shape, names, graph=-1)
    prepared.fill(images)
    return prepared


def raw(prepared: BoundBuffers, size: int) -> None:
    """Measures io_binding only: pinned memory to device, a run, probabilities back."""
    prepared.upload(size)
    prepared.run()
    prepared.download("probabilities", rows=size)


def run(scale: Scale) -> Iterator[Section]:
    yield _against_default(scale.busy, scale, size=scale.batch, reach=3.0)
    yield _against_default(scale.quick, scale, size=1, reach=1.5)
    yield _around_the_run(scale)


def _against_default(name: str, scale: Scale, *, size: int, reach: float) -> Section:
    half, full = network(name, "half"), network(name, "float32")
    images, default = batch(full, size), plain(full, scale)
    runs: dict[str, Callable[[], object]] = {"default": lambda: default.run(WANTED, {"image": images})}
    for engine in scale.engines:
        runs[f"half, {engine}"] = partial(opened(half, scale, engine=engine).run, images, WANTED)
    runs["float32, cuda"] = partial(opened(full, scale).run, images, WANTED)
    sides = {side: partial(per_second, run, images=size, seconds=scale.seconds) for side, run in runs.items()}
    rates = interleaved(with_control(sides, of="default"), rounds=scale.rounds)
    control = Ratio.of(rates[CONTROL], rates["default"])
    found = [
        Finding(f"{side} / default", Ratio.of(rates[side], rates["default"]), control, scale.reach(reach))
        for side in runs
        if side.startswith("half")
    ]
    about = (
        f"Images a second at batch {size} with one caller, arrays in, arrays out. default: session.run of the float32 "
        "network with ONNX Runtime's own settings (TF32, exhaustive search)."
    )
    return Section(f"{name}, batch {size}: tuned / default", about, [report.findings(found), table(rates)])


def _around_the_run(scale: Scale) -> Section:
    """Compares the parts of a large batch's time, and the gain of concurrent callers."""
    chosen, size = network(scale.busy, "half"), scale.batch
    images, prepared, session = batch(chosen, size), alone(chosen, scale, size=size), opened(chosen, scale)
    runs: dict[str, Callable[[], object]] = {
        "raw: upload, run, download": partial(raw, prepared, size),
        "the run alone": prepared.run,
        "the copies to the device alone": partial(prepared.fill, images),
    }
    sides = {side: partial(per_second, run, images=size, seconds=scale.seconds) for side, run in runs.items()}
    for lanes in (1, 2, 3):
        sides[f"session, {lanes} at once"] = partial(_at_once, session, images, lanes=lanes, seconds=scale.seconds)
    rates = interleaved(sides, rounds=scale.rounds)
    about = f"{chosen.spec.name}, batch {size}. The service's session copies every batch into pinned memory first."
    return Section("Around the run", about, [table(rates)])


def _at_once(session: Session, images: Array, *, lanes: int, seconds: float) -> float:
    """Images a second of so many threads together."""
    one = partial(per_second, partial(session.run, images, WANTED), images=len(images), seconds=seconds)
    with ThreadPoolExecutor(lanes) as threads:
        return sum(threads.map(lambda _: one(), range(lanes)))


def table(rates: dict[str, list[float]]) -> Table:
    return Table(("side", "images a second"), [(side, f"{median(found):,.0f}") for side, found in rates.items()])
