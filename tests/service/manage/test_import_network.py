"""Tests of the command `import`: a model that serves, or a refusal that changes nothing."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import yaml

from models import package
from tests import tiny
from tests.conftest import Client
from tests.data import real_data
from tests.service.image_files import form as multipart
from tests.service.image_files import tiff
from tests.service.manage import foreign
from tests.service.manage.import_command import is_empty, run_import
from tests.service.manage.older_package import made_older


@pytest.mark.anyio
async def test_the_real_package_serves_and_reproduces_its_test_output(models: Path, serving: Client) -> None:
    source = real_data("bioimageio/unet2d_nuclei_broad")
    assert run_import(source) == 0
    image, wanted = np.load(source / "test_input.npy"), np.load(source / "test_output.npy")
    async with serving(models=models) as http:
        while not (await http.get("/models")).json()["models"]:  # on a busy machine it is still being proved
            await asyncio.sleep(0.1)
        data = {"format": "probabilities"}
        got = await http.post("/segment", files=multipart(tiff(image[0, 0])), data=data, timeout=60)
        (model,) = (await http.get("/models")).json()["models"]
    assert got.status_code == 200, got.text
    assert (model["name"], model["classes"][0]["label"]) == ("unet-2d-nuclei-broad", "probability")
    (models / "got.npy").write_bytes(got.content)
    assert np.abs(np.load(models / "got.npy") - wanted[0]).max() < 1e-5  # its authors' own tool differs by 1.3e-6


def test_a_striate_package_is_copied_byte_for_byte(models: Path, tmp_path: Path) -> None:
    ours = tiny.brightness(tmp_path / "export")
    assert run_import(foreign.zipped(ours.folder)) == 0
    assert package.read(models / "brightness/1.0").sha256 == ours.sha256
    assert run_import(ours.folder) == 1  # it already exists
    assert run_import(ours.folder, "--replace") == 0
    assert [each.name for each in models.iterdir()] == ["brightness"]


def test_an_older_package_of_ours_is_refused_with_the_command_that_helps(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(made_older(tiny.brightness(tmp_path / "export").folder)) == 1
    assert "python -m service.manage migrate FOLDER" in capsys.readouterr().err
    assert list(models.glob("brightness/*")) == []


def test_an_output_that_is_not_reproduced_is_rejected(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = foreign.bioimageio(tmp_path / "source", form="0.4.10")
    document = yaml.safe_load((source / "rdf.yaml").read_text())
    document["inputs"][0]["preprocessing"] = []
    (source / "rdf.yaml").write_text(yaml.safe_dump(document))
    assert run_import(source, "--classes", "nucleus") == 1
    assert "does not reproduce the test output" in capsys.readouterr().err
    assert is_empty(models)
