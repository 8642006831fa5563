"""Packages as they were written before outputs had roles (contract 1)."""

from pathlib import Path
from typing import Any

import yaml


def made_older(folder: Path) -> Path:
    """Rewrites the description of a package as contract 1 had it, and returns the folder."""
    document = yaml.safe_load((folder / "rdf.yaml").read_text())
    ours = document["config"]["striate"]
    outputs: list[dict[str, Any]] = ours.pop("outputs")
    del ours["contract"], ours["input"]["axes"]
    by_role = {output["role"]: output for output in outputs}
    taps = [_without(output, "name", "role", "axes") for output in outputs if output["role"] == "features"]
    ours |= {"tolerance": by_role["probabilities"]["tolerance"], "taps": taps}
    if "cam" in by_role:
        also = {"hirescam": by_role["hirescam"]["tolerance"]} if "hirescam" in by_role else {}
        ours["cam"] = _without(by_role["cam"], "name", "role", "axes") | {"also": also}
    (folder / "rdf.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return folder


def _without(output: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in output.items() if name not in names}
