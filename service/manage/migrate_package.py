"""Migration of packages to the present contract, in place, once they are proved."""

import argparse
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from models import package as packages
from models.description_yaml import parse_yaml, serialised
from models.errors import PackageError, StriateError
from models.outputs import Role, graph_name
from models.package import RDF
from models.rdf import CONTRACT, contract_of, from_rdf
from service.manage.verify_package import session
from service.repository import verifier

RdfDict = dict[str, Any]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", nargs="+", type=Path, metavar="FOLDER", help="a package's folder <name>/<version>")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where the networks run")


def run(given: argparse.Namespace, root: Path) -> int:
    """Prints a line for each package; returns 1 where one could not be migrated, which is then unchanged."""
    done = [_reported(folder.resolve(), given.device) for folder in given.packages]
    return 0 if all(done) else 1


def _reported(folder: Path, device: str) -> bool:
    which = f"{folder.parent.name} {folder.name}"
    try:
        said = migrate(folder, device=device)
    except (StriateError, OSError) as error:
        sys.stdout.write(f"{which}: not migrated. {error}\n")
        return False
    sys.stdout.write(f"{which}: {said}\n")
    return True


def migrate(folder: Path, *, device: str = "auto") -> str:
    """Rewrites the description, once its network has reproduced its test outputs; returns what was done.

    Only rdf.yaml changes, atomically. Raises PackageError, DeviceUnavailable or InferenceFailed; the folder is then
    unchanged.
    """
    document = parse_yaml(packages.read_description(folder))
    if contract_of(document) != 1:
        from_rdf(document)  # raises where it is of a contract that is not known here
        return f"is of contract {CONTRACT} already"
    text = serialised(from_1_to_2(document))
    package = packages.verified(folder, text)
    proved = verifier.verify(package, open_session=partial(session, device))
    _replace(folder / RDF, text)
    return f"migrated to contract {CONTRACT}, proved on {proved.provider}, sha256 {package.sha256}"


def from_1_to_2(document: RdfDict) -> RdfDict:
    """Returns the description with its outputs in one list, each with role and axes. Raises PackageError."""
    try:
        ours = document["config"]["striate"]
        first = {"contract": 2, "task": ours["task"], "architecture": ours["architecture"]}
        tensors = {"input": {"axes": "NCYX", **ours["input"]}, "outputs": _outputs(ours)}
        rest = {name: value for name, value in ours.items() if name not in ("input", "cam", "taps", "tolerance")}
    except (KeyError, TypeError, AttributeError) as error:
        raise PackageError(f"rdf.yaml is not a description written by Striate: {error!r:.200}.") from error
    return {**document, "config": {**document["config"], "striate": {**first, **tensors, **rest}}}


def _outputs(ours: RdfDict) -> list[RdfDict]:
    axes = "NC" if ours["task"] == "classification" else "NCYX"
    outputs = [_output("probabilities", {"axes": axes, "tolerance": ours.get("tolerance", 1e-4)})]
    if cam := dict(ours.get("cam") or {}):
        also = cam.pop("also", {})
        outputs.append(_output("cam", cam))
        outputs += [_output(role, {**cam, "method": role, "tolerance": limit}) for role, limit in also.items()]
    return outputs + [_output("features", tap) for tap in ours.get("taps", ())]


def _output(role: Role, described: RdfDict) -> RdfDict:
    axes = {} if role == "probabilities" else {"axes": "NCYX"}
    return {"name": graph_name(role, described.get("layer", "")), "role": role, **axes, **described}


def _replace(path: Path, text: bytes) -> None:
    """Replaces a file in one step; it keeps its permissions."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(text)
        shutil.copymode(path, draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
