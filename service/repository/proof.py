"""Proof of a package in a child process: it is read, verified, loaded and run once, before what serves touches it."""

from pathlib import Path
from typing import Any

import numpy as np

from models.errors import PackageError
from models.image import Array
from models.network_operators import check_network
from models.package import Package
from models.preprocess import pad
from service.inference import Session
from service.inference.activation_memory import ActivationMemory, NetworkMemory
from service.inference.cpu import CpuSession
from service.repository import scan, verifier
from service.sandbox.json_channel import Channel
from service.sandbox.limited_job import Report, answer
from service.sandbox.peak_memory import PeakMemory
from service.scheduling.batcher import Batcher

_MEASURED_PX, _BATCH_PX = (
    256,
    64,
)  # sides of the images with which networks of any size are measured, and run in batches
_BATCH_BYTES = 64 * 2**20  # a larger batch runs in parts
_FIXED_BYTES = 2 * 2**20  # that the first run of any network takes


def main(channel: Channel) -> None:
    """Proves one package for a Prover."""
    answer(channel, prove)


def prove(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Returns the fields of a Proof. request: the folder, and the `batches` to run, if any. Raises StriateError."""
    folder = Path(request["folder"])
    report("reading")
    _check_count(folder)
    package = verifier.read(folder)
    if not (batches := request["batches"]):
        return {"sha256": package.sha256}
    report("loading")
    buckets = tuple(batches["sizes"])
    network = package.network()
    check_network(network)
    session = CpuSession(network, lanes=1, buckets=buckets)
    report("running")
    element_bytes = _element_bytes(package, session)
    verifier.check_outputs(package, session)
    report("running batches")  # a network may end for one image alone
    session.memory = NetworkMemory(ActivationMemory(_BATCH_BYTES), element_bytes)
    batcher = Batcher(session, length=max(buckets), bound_s=batches["bound_s"])
    batcher.warm(_input_of(package, side=_BATCH_PX)[None], package.spec.output_names)
    return {"sha256": package.sha256, "element_bytes": element_bytes}


def _element_bytes(package: Package, session: Session) -> float:
    """Returns the memory that a run takes at its peak, for each value of its input; it must be the session's first."""
    tensor = _input_of(package, side=_MEASURED_PX)
    peak = PeakMemory()
    session.run(tensor[None], (package.spec.names["probabilities"],))
    return max(0, peak.taken() - _FIXED_BYTES) / tensor.size


def _input_of(package: Package, *, side: int) -> Array:
    """Returns the test input (C, H, W) float32, repeated or cut to about this many pixels if the network allows."""
    test_input, _ = package.test_tensors()
    spec, tensor = package.spec, verifier.network_input(test_input[0], package.spec)
    if spec.input.size is not None:
        return tensor
    tensor = np.tile(tensor, (1, *(-(-side // length) for length in tensor.shape[1:])))[:, :side, :side]
    return pad(tensor, min_size=spec.input.min_size, step=spec.input.step, border=spec.border)


def _check_count(folder: Path) -> None:
    if len(scan.stamp(folder)) > scan.MAX_FILES:
        raise PackageError(f"The folder holds more than {scan.MAX_FILES:,} files.")
