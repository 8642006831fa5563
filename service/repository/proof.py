"""Proof of a package in a child process: it is read, verified, loaded and run once, before what serves touches it."""

from pathlib import Path
from typing import Any

from models.errors import PackageError
from service.inference import open_session
from service.repository import scan, verifier
from service.sandbox.json_channel import Channel
from service.sandbox.limited_job import Report, answer


def main(channel: Channel) -> None:
    """Proves one package for a Prover."""
    answer(channel, prove)


def prove(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Returns the fields of a Proof. request: the folder, and whether to `run` its network. Raises StriateError."""
    folder = Path(request["folder"])
    report("reading")
    _check_count(folder)
    package = verifier.read(folder)
    if not request["run"]:
        return {"sha256": package.sha256}
    report("loading")
    session = open_session(package.network(), device="cpu", precision=package.spec.precision)
    report("running")
    before = _reset_peak()
    verifier.check_outputs(package, session)
    return {"sha256": package.sha256, "run_bytes": max(0, _kilobytes("VmHWM") * 1024 - before)}


def _check_count(folder: Path) -> None:
    if len(scan.stamp(folder)) > scan.MAX_FILES:
        raise PackageError(f"The folder holds more than {scan.MAX_FILES:,} files.")


def _reset_peak() -> int:
    """Has the system measure this process's peak memory from now on; returns what it has now, in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # a system without it: then the peak is that of loading too, and the figure a lower bound
        return _kilobytes("VmHWM") * 1024
    return _kilobytes("VmRSS") * 1024


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])
