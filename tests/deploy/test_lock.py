"""The image's locks: complete, with the versions of constraints.txt, and nothing without a hash."""

import importlib.metadata
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
BENTOFILES = {"cpu": ROOT / "bentofile.yaml", "gpu": ROOT / "deploy/bentofile.gpu.yaml"}
DOCKERFILE = (ROOT / "deploy/Dockerfile.j2").read_text()
CONSTRAINTS = [line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
PINNED = {canonicalize_name(name): version for name, _, version in CONSTRAINTS}


def locked(name: str) -> dict[str, str]:
    """Returns the versions in a lock, after checking that it has packages with hashes and nothing else."""
    lines = (ROOT / f"deploy/lock/{name}.txt").read_text().replace(" \\\n", "").splitlines()
    entries = [line.split() for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for _, *hashes in entries for each in hashes)
    assert all(len(entry) > 1 for entry in entries)
    return {
        canonicalize_name(package): version for package, _, version in (entry[0].partition("==") for entry in entries)
    }


def required(packages: list[str]) -> set[str]:
    """Returns what the packages need, and what that needs, by what is installed here."""
    found: set[str] = set()
    waiting = [Requirement(package) for package in packages]
    while waiting:
        one = waiting.pop()
        if (name := canonicalize_name(one.name)) not in found:
            found.add(name)
            needs = map(Requirement, importlib.metadata.requires(one.name) or [])
            extras = one.extras or {""}
            waiting += [
                each for each in needs if not each.marker or any(each.marker.evaluate({"extra": e}) for e in extras)
            ]
    return found


@pytest.mark.parametrize("name", ["cpu", "gpu", "sbom"])
def test_a_lock_has_the_tested_versions(name: str) -> None:
    lock = locked(name)
    assert {package: PINNED.get(package, version) for package, version in lock.items()} == lock
    assert name == "sbom" or lock.keys() <= PINNED.keys()  # the tool is no part of what was tested


@pytest.mark.parametrize("name", BENTOFILES)
def test_a_lock_has_all_that_its_bento_wants(name: str) -> None:
    packages = yaml.safe_load(BENTOFILES[name].read_text())["python"]["packages"]
    here = [package for package in packages if not package.startswith(("onnxruntime-gpu", "nvidia-"))]
    assert required(here) <= locked(name).keys()
    assert {canonicalize_name(Requirement(package).name) for package in packages} <= locked(name).keys()
    assert "torch" not in locked(name)


@pytest.mark.parametrize("name", BENTOFILES)
def test_the_image_installs_from_its_two_locks_only(name: str) -> None:
    wheels = yaml.safe_load(BENTOFILES[name].read_text())["python"]["wheels"]
    assert [wheel for wheel in wheels if "lock" in wheel] == [f"deploy/lock/{name}.txt", "deploy/lock/sbom.txt"]
    assert re.findall(r"pip .*install (.*?) &&", DOCKERFILE) == [
        "--quiet -r /lock/sbom.txt",
        "--quiet -r /lock/?pu.txt",
    ]
    assert "PIP_REQUIRE_HASHES=1" in DOCKERFILE
    assert not re.findall(r"^RUN.*\b(?:uv|uvx|curl|wget|apt-get)\b", DOCKERFILE, re.MULTILINE)
