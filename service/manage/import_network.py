"""Command `import`: adds a verified model from a BioImage.IO package (0.4, 0.5), a Striate package or an ONNX file."""

import argparse
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from models.errors import PackageError
from models.package import Package
from service.repository import scan, verifier
from service.repository.prover import LARGE
from service.sandbox.limited_job import Limits, run_job
from service.scheduling.memory_plan import MemoryPlan
from service.settings import load_settings


def options(parser: argparse.ArgumentParser) -> None:
    names = "none, 8bit, 16bit, percentiles or zero_mean"
    parser.add_argument("source", type=Path, help="a folder, a .zip or an .onnx file")
    parser.add_argument("--name", default="", help="lower case; default: the package's name")
    parser.add_argument("--version", default="", help="such as 1.0; default: the package's version, else 1.0")
    parser.add_argument("--task", choices=["classification", "segmentation"], help="default: by the output's shape")
    parser.add_argument("--classes", default="", help="comma-separated labels, in the order of the network's outputs")
    parser.add_argument("--activation", choices=["softmax", "sigmoid"], help="turns its outputs into probabilities")
    parser.add_argument("--input-size", default="", metavar="HxW", help="size to which images are resized")
    parser.add_argument(
        "--any-size", action="store_true", help="segment images in their own size, whatever the package says"
    )
    parser.add_argument(
        "--normalise", default="", metavar="HOW", help=f"{names}, see docs/models.md; required for an ONNX file"
    )
    parser.add_argument("--mean", default="", help="comma-separated, one per channel, after --normalise")
    parser.add_argument("--std", default="", help="comma-separated, one per channel")
    parser.add_argument(
        "--halo", type=int, metavar="PX", help="with --stride, if they cannot be computed from the network"
    )
    parser.add_argument("--stride", type=int, metavar="PX", help="with --halo")
    parser.add_argument("--replace", action="store_true", help="replace an existing version")


def run(arguments: argparse.Namespace, root: Path) -> int:
    """Imports the model. Raises PackageError if it is invalid, and then changes nothing."""
    if find_spec("onnx") is None:  # which serving does not need
        raise PackageError("Importing a model needs the extra 'manage' (pip install '.[manage]').")
    workspace = Path(tempfile.mkdtemp(dir=root, prefix=".import-"))
    try:
        package, provider = _drafted(arguments, workspace)
        _move(package, root, workspace, replace=arguments.replace)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    spec = package.spec
    geometry = f"stride {spec.stride}, receptive field {spec.receptive_field}, halo {spec.halo} px"
    size = "any size" if spec.input.size is None else f"{spec.input.size[0]} x {spec.input.size[1]} px"
    sys.stdout.write(
        f"{spec.name} {spec.version}: {spec.task} of {', '.join(spec.channel_names)}; {size}; {geometry}\n"
    )
    sys.stdout.write(f"verified on {provider}, sha256 {package.sha256}\n")
    return 0


def _drafted(arguments: argparse.Namespace, workspace: Path) -> tuple[Package, str]:
    """Has a child process build and verify the package; returns it, and the provider that ran it."""
    options = {name: value for name, value in vars(arguments).items() if name != "command"}
    request = {"options": options | {"source": str(arguments.source)}, "workspace": str(workspace)}
    settings = load_settings()
    limits = Limits(settings.proof_timeout_s, int(LARGE * MemoryPlan.of(settings).proofs))
    result = run_job("service.manage.import_job", request, limits=limits)
    (draft,) = scan.find_versions(workspace)
    return verifier.read_proved(draft, str(result.get("sha256"))), str(result.get("provider"))


def _move(package: Package, root: Path, workspace: Path, *, replace: bool) -> None:
    spec = package.spec
    target = root / spec.name / spec.version
    if target.exists() and not replace:
        raise PackageError(f"{spec.name} {spec.version} already exists; use --replace to replace it.")
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        os.replace(target, workspace / "old")
    os.replace(package.folder, target)
