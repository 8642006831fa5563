"""Takes in a model, once it is proved: a BioImage.IO package (0.4, 0.5), an export of ours, or a bare ONNX file."""

import argparse
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from models.errors import PackageError
from service.manage.verify_package import session
from service.repository import verifier


def options(parser: argparse.ArgumentParser) -> None:
    how = "none, 8bit, 16bit, percentiles or zero_mean"
    parser.add_argument("source", type=Path, help="a folder, a .zip or an .onnx file")
    parser.add_argument("--name", default="", help="in small letters; of a package, its own by default")
    parser.add_argument("--version", default="", help="such as 1.0; of a package, its own by default, else 1.0")
    parser.add_argument("--task", choices=["classification", "segmentation"], help="by the output's shape by default")
    parser.add_argument("--classes", default="", help="comma-separated labels, in the order of the network's outputs")
    parser.add_argument("--activation", choices=["softmax", "sigmoid"], help="what turns its outputs to probabilities")
    parser.add_argument("--input-size", default="", metavar="HxW", help="to which images are brought")
    parser.add_argument(
        "--any-size", action="store_true", help="a segmenter's images keep their size, whatever it says"
    )
    parser.add_argument(
        "--normalise", default="", metavar="HOW", help=f"{how}, see docs/models.md; a bare network needs it"
    )
    parser.add_argument("--mean", default="", help="comma-separated, one a channel, after --normalise")
    parser.add_argument("--std", default="", help="comma-separated, one a channel")
    parser.add_argument(
        "--halo", type=int, metavar="PX", help="with --stride, where they cannot be computed from the network"
    )
    parser.add_argument("--stride", type=int, metavar="PX", help="with --halo")
    parser.add_argument("--replace", action="store_true", help="where this version is there already")


def run(given: argparse.Namespace, root: Path) -> int:
    """Raises PackageError where it cannot be proved; then nothing has changed."""
    try:
        from service.manage.build_package import build  # onnx, which serving does not need
    except ImportError as error:
        raise PackageError(f"To import a model needs the extra 'manage' (pip install '.[manage]'): {error}.") from error
    bench = Path(tempfile.mkdtemp(dir=root, prefix=".import-"))
    try:
        draft = build(given, bench)
        package, opened = verifier.read_verified(draft, open_session=partial(session, "auto"))
        spec = package.spec
        target = root / spec.name / spec.version
        if target.exists() and not given.replace:
            raise PackageError(f"{spec.name} {spec.version} is there already; --replace replaces it.")
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            os.replace(target, bench / "old")
        os.replace(draft, target)
    finally:
        shutil.rmtree(bench, ignore_errors=True)
    geometry = f"stride {spec.stride}, receptive field {spec.receptive_field}, halo {spec.halo} px"
    size = "any size" if spec.input.size is None else f"{spec.input.size[0]} x {spec.input.size[1]} px"
    sys.stdout.write(
        f"{spec.name} {spec.version}: {spec.task} of {', '.join(spec.channel_names)}; {size}; {geometry}\n"
    )
    sys.stdout.write(f"proved on {opened.provider}, sha256 {package.sha256}\n")
    return 0
