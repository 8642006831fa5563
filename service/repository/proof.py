"""Proof of a package in a child process: it is read, verified, loaded and run once, before what serves touches it."""

from pathlib import Path
from typing import Any

from models.errors import PackageError
from models.package import Package
from service.inference import open_session
from service.repository import scan, verifier
from service.repository.network_loading import warm
from service.sandbox.json_channel import Channel
from service.sandbox.limited_job import Report, answer
from service.sandbox.peak_memory import PeakMemory
from service.scheduling.batcher import Batcher


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
    peak = PeakMemory()
    verifier.check_outputs(package, session)
    element_bytes = peak.taken() / _elements(package)
    report("running batches")  # a network may end for one image alone
    warm(package, Batcher(session, length=max(buckets), bound_s=batches["bound_s"]))
    return {"sha256": package.sha256, "element_bytes": element_bytes}


def _elements(package: Package) -> int:
    test_input, _ = package.test_tensors()
    return verifier.network_input(test_input[0], package.spec).size


def _check_count(folder: Path) -> None:
    if len(scan.stamp(folder)) > scan.MAX_FILES:
        raise PackageError(f"The folder holds more than {scan.MAX_FILES:,} files.")
