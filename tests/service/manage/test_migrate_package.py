"""Packages of an older contract: refused with what to do, migrated in place, served."""

from pathlib import Path

import numpy as np
import pytest

from models import package as packages
from models.errors import PackageError
from service.manage.__main__ import main
from tests import tiny
from tests.conftest import Client
from tests.models.tiny_packages import KINDS, contents
from tests.service.image_files import form, grey
from tests.service.manage.older_package import made_older

pytestmark = pytest.mark.anyio


def written(root: Path, kind: str = "tapped") -> packages.Package:
    parts = contents(kind)
    return packages.write(root / parts["fields"]["name"] / parts["fields"]["version"], **parts)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_older_package_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    folder = made_older(written(tmp_path).folder)
    with pytest.raises(PackageError, match=r"older contract; run `python -m service\.manage migrate FOLDER`"):
        packages.read(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_migrated_package_is_the_one_that_we_write_now(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = written(tmp_path, kind)
    folder, before = package.folder, files(package.folder)
    made_older(folder)
    assert main(["migrate", str(folder)]) == 0
    assert "migrated to contract 2, proved on CPUExecutionProvider, sha256" in capsys.readouterr().out
    assert packages.read(folder).spec == package.spec
    after = files(folder)
    assert {name for name in before if before[name] != after[name]} <= {"rdf.yaml"}
    assert set(after) == set(before)


def test_a_present_package_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path).folder
    before = files(folder)
    assert main(["migrate", str(folder)]) == 0
    assert capsys.readouterr().out == "tiny-tapped 1: is of contract 2 already\n"
    assert files(folder) == before


def weights_changed(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")


def of_another_network(folder: Path) -> None:
    """Its digests are right, but its network gives other answers than its test outputs."""
    parts = contents("tapped")
    outputs = {name: array + np.float32(0.01) for name, array in parts["test_outputs"].items()}
    packages.write(folder, **parts | {"test_outputs": outputs})
    made_older(folder)


def of_a_later_contract(folder: Path) -> None:
    text = (folder / "rdf.yaml").read_text()
    (folder / "rdf.yaml").write_text(text.replace("  striate:\n", "  striate:\n    contract: 3\n"))


def of_somebody_else(folder: Path) -> None:
    (folder / "rdf.yaml").write_text("format_version: 0.5.9\n")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (weights_changed, "model.onnx has been changed"),
        (of_another_network, "does not reproduce the test output probabilities"),
        (of_a_later_contract, "was written for contract 3; this version reads 2"),
        (of_somebody_else, "not a description written by Striate"),
    ],
)
def test_what_cannot_be_proved_is_not_touched(
    damage: object, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, whole = made_older(written(tmp_path).folder), made_older(written(tmp_path, "segmenter").folder)
    damage(folder)  # type: ignore[operator]
    before = files(folder)
    assert main(["migrate", str(folder), str(whole), str(tmp_path / "nowhere")]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("tiny-tapped 1: not migrated. ")
    assert reason in said[0]
    assert said[1].startswith("tiny-segmenter 1.2: migrated")
    assert "No such file" in said[2]
    assert files(folder) == before


async def test_a_migrated_package_serves(tmp_path: Path, serving: Client) -> None:
    folder = made_older(tiny.brightness(tmp_path).folder)
    assert main(["migrate", str(folder)]) == 0
    async with serving(models=tmp_path) as http:
        answer = await http.post("/predict", files=form(grey(200)))
        maps = await http.post("/cam", files=form(grey(200)))
    assert answer.json()["classes"][0]["label"] == "bright"
    assert maps.status_code == 200
