"""GPU checks: outputs equal those of the CPU, and unusable devices are rejected. Nothing is timed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.gpu_engine import Engine, Scale, batch, opened, tuned
from benchmarks.gpu_networks import network
from benchmarks.networks import Network
from benchmarks.networks import network as starter
from benchmarks.report import Section, Table
from models.errors import StriateError
from models.image import Array
from service.inference import CPU, DeviceUnavailable, Gpu, open_session
from service.repository.verifier import read_verified
from training.onnx_export import TOLERANCE

STARTERS = ("digits", "pneumonia", "nuclei")
SIZES = (3, 1, 8, 3)  # of batches: between two buckets, the least, a bucket, and again: a graph is replayed by then


@dataclass(frozen=True, slots=True)
class Check:
    """A comparison: its subject, its result and its limit."""

    what: str
    found: str
    holds: bool

    def cells(self) -> tuple[str, ...]:
        return self.what, self.found, "holds" if self.holds else "FAILS"


def run(scale: Scale) -> Iterator[Check]:
    for chosen in (*map(starter, STARTERS), *_made(scale)):
        yield from _answers(chosen, scale)
    yield _no_gpu_is_refused()
    if scale.device == "cuda":
        chosen = network(scale.busy, "half")
        yield _refused("1 MiB of GPU memory", chosen, Gpu(memory_bytes=2**20))
        inputs = [batch(chosen, 1)]
        wanted = [run_plainly(tuned(chosen, scale), x, chosen) for x in inputs]
        yield compare("tensorrt / cuda, or refused", chosen, scale, "tensorrt", inputs, wanted)


def section(checks: list[Check]) -> Section:
    failed = sum(not check.holds for check in checks)
    about = (
        f"Batches of {', '.join(map(str, SIZES))} images. A number is the largest difference of any output, as a share "
        "of what may be."
    )
    title = (
        f"Correctness: {failed} of {len(checks)} checks fail" if failed else f"Correctness: {len(checks)} checks hold"
    )
    return Section(title, about, [Table(("check", "found", ""), [check.cells() for check in checks])])


def _made(scale: Scale) -> list[Network]:
    names = dict.fromkeys((scale.busy, scale.quick))
    return [network(name, precision) for name in names for precision in ("float32", "half")]


def _answers(chosen: Network, scale: Scale) -> Iterator[Check]:
    """Compares the service's session, with every engine, with the CPU and with a plain run on the same device."""
    name, inputs = chosen.spec.name, [batch(chosen, size) for size in SIZES]
    processor = onnxruntime.InferenceSession(chosen.weights, providers=[CPU])
    wanted = [run_plainly(processor, x, chosen) for x in inputs]
    for engine in scale.engines:
        yield compare(f"{name}: {engine} / the processor", chosen, scale, engine, inputs, wanted)
    device = tuned(chosen, scale)
    wanted = [run_plainly(device, x, chosen) for x in inputs]
    yield compare(f"{name}: io_binding / session.run", chosen, scale, "cuda", inputs, wanted)
    try:
        read_verified(chosen.package.folder, open_session=lambda package: opened(chosen, scale))
    except StriateError as error:
        yield Check(f"{name}: the service takes the package", f"{error!s:.120}", False)
    else:
        yield Check(f"{name}: the service takes the package", "it does", True)


def compare(
    what: str, chosen: Network, scale: Scale, engine: Engine, inputs: list[Array], wanted: list[dict[str, Array]]
) -> Check:
    try:
        session = opened(chosen, scale, engine=engine)
        got = [session.run(x, chosen.spec.output_names) for x in inputs]
    except StriateError as error:  # a network with a node on the processor cannot be recorded, and is to say so
        return Check(what, f"refused: {error!s:.120}", engine != "cuda")
    shares = [_share(g[name], w[name], chosen) for g, w in zip(got, wanted) for name in w]
    return Check(what, f"{max(shares):.2g}", max(shares) <= 1)


def _share(got: Array, wanted: Array, chosen: Network) -> float:
    """Returns the largest difference as a share of the tolerance with which packages are exported."""
    allowed = TOLERANCE[chosen.spec.precision] * max(1.0, float(np.abs(wanted).max()))
    share = float(np.abs(got - wanted).max()) / allowed
    return share if np.isfinite(share) else np.inf


def run_plainly(session: Any, x: Array, chosen: Network) -> dict[str, Array]:
    names = chosen.spec.output_names
    return dict(zip(names, session.run(list(names), {session.get_inputs()[0].name: x})))


def _no_gpu_is_refused() -> Check:
    """Checks that a process without a GPU refuses to start with STRIATE_DEVICE=cuda."""
    code = "from service.inference import check_device\nif __name__ == '__main__': check_device('cuda')"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "check.py"  # a process that starts another anew must be a file
        script.write_text(code)
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": os.pathsep.join(["", *sys.path])}
        done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if DeviceUnavailable.__name__ in line]
    return Check("no GPU in sight: STRIATE_DEVICE=cuda", said[-1][:120] if said else "it goes on", bool(said))


def _refused(what: str, chosen: Network, gpu: Gpu) -> Check:
    try:
        session = open_session(chosen.weights, device="cuda", gpu=gpu, precision=chosen.spec.precision)
        session.run(batch(chosen, 1), chosen.spec.output_names)
    except StriateError as error:
        return Check(what, f"refused: {error!s:.120}", True)
    return Check(what, "it runs", False)
