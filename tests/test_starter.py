"""The packages that ship: what the service answers is what training scored, and they say what they reach."""

import io
from pathlib import Path

import numpy as np
import pytest

from models import package
from models.preprocess import prepare
from tests.conftest import Client
from training.config import read_recipe
from training.data.examples import read_image
from training.evaluate import below_minimum
from training.evaluated_model import model_from_package

STARTER = Path("models/starter")
FOLDERS = sorted(STARTER.glob("*/*"))
pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
async def test_the_service_answers_what_training_scored(folder: Path, serving: Client) -> None:
    spec = package.read(folder).spec
    sample = folder / "sample.png"
    pixels = read_image(sample)
    x = prepare(pixels, channels=spec.input.channels, size=spec.input.size, steps=spec.input.steps)
    wanted = model_from_package(folder).probabilities(x)
    async with serving(models=STARTER) as http:
        file = {"image": sample.read_bytes()}
        if spec.task == "classification":
            answer = await http.post("/predict", files=file, data={"model": spec.name, "top_k": "100"})
            found = {known["label"]: known["probability"] for known in answer.json()["classes"]}
            got = np.array([found[known.label] for known in spec.classes])
        else:
            answer = await http.post("/segment", files=file, data={"model": spec.name, "format": "probabilities"})
            got = np.load(io.BytesIO(answer.content))
            wanted = wanted[: len(spec.classes)]
    assert np.abs(got - wanted).max() < 1e-5


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_figures_are_those_of_a_test_split_and_reach_the_recipe(folder: Path) -> None:
    spec = package.read(folder).spec
    assert {figure.split for figure in spec.evaluation} == {"test"}
    assert below_minimum(read_recipe(Path(f"training/recipes/{spec.name}.toml")), list(spec.evaluation)) == []


def test_together_they_are_under_20_megabytes() -> None:
    assert sum(file.stat().st_size for file in STARTER.rglob("*") if file.is_file()) < 20e6


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_each_shows_four_samples_and_what_its_report_drew(folder: Path) -> None:
    shown = package.read(folder).readable
    assert {file.name for file in folder.glob("*.png")} | {"README.md"} == {*shown}
    assert len([name for name in shown if name.startswith("sample")]) == 4
    assert {"roc.png", "worst.png"} & {*shown}
