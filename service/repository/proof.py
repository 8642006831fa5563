"""Proof of a package in a child process: it is read, verified, loaded and run once, before what serves touches it."""

from pathlib import Path
from typing import Any

import numpy as np

from models.errors import PackageError
from models.package import Package
from models.preprocess import pad
from service.inference import Session, open_session
from service.repository import scan, verifier
from service.repository.network_loading import warm
from service.sandbox.json_channel import Channel
from service.sandbox.limited_job import Report, answer
from service.sandbox.peak_memory import PeakMemory
from service.scheduling.batcher import Batcher

_LEAST_PX = 256  # a side of what networks of any size are measured with
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
    session = open_session(package.network(), device="cpu", precision=package.spec.precision, buckets=buckets)
    report("running")
    element_bytes = _element_bytes(package, session)
    verifier.check_outputs(package, session)
    report("running batches")  # a network may end for one image alone
    warm(package, Batcher(session, length=max(buckets), bound_s=batches["bound_s"]))
    return {"sha256": package.sha256, "element_bytes": element_bytes}


def _element_bytes(package: Package, session: Session) -> float:
    """Returns the memory that a run takes at its peak, for each value of its input; it must be the session's first."""
    test_input, _ = package.test_tensors()
    spec, tensor = package.spec, verifier.network_input(test_input[0], package.spec)
    if spec.input.size is None:  # a small input would tell little of a large one
        copies = (1, *(-(-_LEAST_PX // side) for side in tensor.shape[1:]))
        tensor = pad(np.tile(tensor, copies), min_size=spec.input.min_size, step=spec.input.step, border=spec.border)
    peak = PeakMemory()
    session.run(tensor[None], (spec.names["probabilities"],))
    return max(0, peak.taken() - _FIXED_BYTES) / tensor.size


def _check_count(folder: Path) -> None:
    if len(scan.stamp(folder)) > scan.MAX_FILES:
        raise PackageError(f"The folder holds more than {scan.MAX_FILES:,} files.")
