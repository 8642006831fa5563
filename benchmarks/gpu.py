"""GPU benchmark `python -m benchmarks.gpu`: correctness and speed; exits with 1 if an output is wrong.

Where there is no GPU the same code runs on the processor with a minute network, which tests it and measures nothing.
"""

# isort: off
import torch  # noqa: F401  before onnxruntime: torch's CUDA libraries are then found by it

# isort: on
import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import gpu_checks, gpu_engine, gpu_server, report
from benchmarks.gpu_engine import GPU, PROCESSOR, Scale
from benchmarks.report import Section
from models.errors import StriateError
from service.inference import check_device

PARTS = ("checks", "engine", "server")


def main() -> int:
    given = arguments()
    scale = chosen(given.device)
    parts = [f"{report.machine()}\n- {gpu()}"]
    if scale is PROCESSOR:
        parts[0] += "\n- `cuda` below is the code for a GPU over the processor's memory"
    print(parts[0], flush=True)
    for section in sections(scale, given.parts or PARTS):
        parts.append(str(section))
        print(f"\n{section}", flush=True)
    if given.to:
        given.to.write_text("\n\n".join(parts) + "\n")
    return int(any("FAILS" in part for part in parts))


def chosen(device: str) -> Scale:
    if device == "cpu":
        return PROCESSOR
    try:
        check_device("cuda")
    except StriateError as error:
        if device == "cuda":
            sys.exit(f"benchmarks.gpu: {error}")
        print(f"No GPU works here, so nothing is measured; the code is tried on the processor. ({error})\n")
        return PROCESSOR
    return GPU


def sections(scale: Scale, parts: tuple[str, ...]) -> Iterator[Section]:
    if "checks" in parts:
        yield gpu_checks.section(list(gpu_checks.run(scale)))
    if "engine" in parts:
        yield from gpu_engine.run(scale)
    if "server" in parts:
        lacking = gpu_server.missing()
        if lacking:
            yield Section("The service over HTTP", f"Not measured: this Python has no {', '.join(lacking)}.", [])
        else:
            yield from gpu_server.run(scale)


def gpu() -> str:
    """Returns the name of the GPU and its driver, in one line."""
    if not shutil.which("nvidia-smi"):
        return "no nvidia-smi"
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default all")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--to", type=Path, help="a file for the same Markdown")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return given


if __name__ == "__main__":
    sys.exit(main())
