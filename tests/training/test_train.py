"""The whole path, from a recipe to a package, on a few digits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from models import package
from models.preprocess import prepare
from tests.training.digits_recipe import DIGITS
from training import checkpoint, export, train
from training.config import Recipe, read_recipe
from training.data.examples import DataError
from training.evaluate import below_minimum
from training.evaluate import main as evaluate
from training.evaluated_model import model_from_checkpoint, model_from_package
from training.onnx_export import TOLERANCE, ExportError
from training.prepared_dataset import draws

EXAMPLES = read_recipe(DIGITS).data.load().examples


def few_epochs(count: int) -> Recipe:
    recipe = read_recipe(DIGITS)
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": count})})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four epochs, with its report on the test split."""
    folder = tmp_path_factory.mktemp("digits")
    train.main(few_epochs(4), run=folder, device="cpu")
    subject, recipe = model_from_checkpoint(folder / checkpoint.BEST, device=torch.device("cpu"))
    evaluate(subject, recipe, split="test", out=folder)
    return folder


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> package.Package:
    return export.main(run / checkpoint.BEST, root=tmp_path_factory.mktemp("repository"))


def test_resume_continues_bit_for_bit(tmp_path: Path) -> None:
    """Stopped after one epoch of two and resumed: the same weights as without a stop."""
    through = train.main(few_epochs(2), run=tmp_path / "through", device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "patience_exhausted", lambda progress, config: progress["epoch"] == 1)
        train.main(few_epochs(2), run=tmp_path / "halves", device="cpu")
    resumed = train.main(few_epochs(2), run=tmp_path / "halves", resume=True, device="cpu")
    last = [checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("through", "halves")]
    for part in ("network", "average"):
        for key, value in last[0]["loop"][part].items():
            assert torch.equal(value, last[1]["loop"][part][key]), key
    assert through["progress"] == resumed["progress"]


def test_it_learns(run: Path) -> None:
    assert checkpoint.load(run / checkpoint.BEST)["progress"]["best"] > 0.95


def test_draws_depend_on_the_epoch_alone() -> None:
    examples = EXAMPLES[:50]
    first = draws(examples, epoch=3, seed=0, balance=0.5)
    assert first == draws(examples, epoch=3, seed=0, balance=0.5)
    assert first != draws(examples, epoch=4, seed=0, balance=0.5)


def test_balance_draws_every_stratum_equally_often() -> None:
    """Nine of one kind to one of the other: as they are, one in ten; at one half, one in four; at one, one in two."""
    examples = [replace(e, stratum="rare" if n % 10 == 0 else "") for n, e in enumerate(EXAMPLES[:1000])]
    for balance, wanted in ((0.0, 0.1), (0.5, 0.25), (1.0, 0.5)):
        drawn = [index for index, _ in draws(examples, epoch=0, seed=0, balance=balance)]
        assert len(drawn) == 1000
        assert np.mean([examples[index].stratum == "rare" for index in drawn]) == pytest.approx(wanted, abs=0.05)
        assert (sorted(drawn) == list(range(1000))) is (balance == 0)


def test_report_has_every_figure_and_its_interval(run: Path) -> None:
    figures = {figure.metric: figure for figure in export.read_figures(run)}
    assert {"accuracy", "auroc", "f1", "ece"} <= set(figures)
    assert all(figure.low <= figure.value <= figure.high for figure in figures.values() if figure.metric != "ece")
    assert all((run / name).stat().st_size > 1000 for name in ("roc.png", "confusion.png", "reliability.png"))
    assert "| accuracy |" in (run / "report-test.md").read_text()


def test_a_figure_below_the_recipe_is_a_failure(run: Path) -> None:
    recipe, figures = few_epochs(4), export.read_figures(run)
    assert below_minimum(recipe.model_copy(update={"reach": {"accuracy": 0.1}}), figures) == []
    (sentence,) = below_minimum(recipe.model_copy(update={"reach": {"accuracy": 1.01}}), figures)
    assert "accuracy" in sentence


def test_package_answers_as_the_checkpoint(run: Path, exported: package.Package) -> None:
    subject, recipe = model_from_checkpoint(run / checkpoint.BEST, device=torch.device("cpu"))
    served = model_from_package(exported.folder)
    for example in recipe.data.load().examples[:20]:
        x = prepare(example.image(), channels=1, size=(32, 32), steps=recipe.input.steps)
        assert np.abs(served.probabilities(x) - subject.probabilities(x)).max() < 1e-5
    assert served.decision.thresholds == subject.decision.thresholds


def test_package_is_filled_in(exported: package.Package) -> None:
    spec = exported.spec
    assert [c.label for c in spec.classes] == list("0123456789")
    assert (spec.receptive_field, spec.stride) == (16, 4)
    assert spec.cam is not None
    assert spec.cam.method == "gradcam"
    assert spec.provenance is not None
    assert spec.intensity is not None
    assert {figure.split for figure in spec.evaluation} == {"test"}


def test_batch_is_free(exported: package.Package) -> None:
    session = onnxruntime.InferenceSession(exported.weights, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((5, 1, 32, 32), dtype=np.float32)
    probabilities, cam = session.run(["probabilities", "cam"], {"image": x})
    assert (probabilities.shape, cam.shape) == ((5, 10), (5, 10, 5, 5))
    alone = session.run(["probabilities"], {"image": x[3:4]})[0]
    assert np.abs(probabilities[3] - alone[0]).max() < 1e-6


def test_a_graph_that_differs_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOLERANCE, "float32", 0.0)
    with pytest.raises(ExportError, match="differs by"):
        export.main(run / checkpoint.BEST, root=tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_unreadable_image_stops_before_the_first_step(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(12):
                (tmp_path / split / label / f"{i}.png").write_bytes(b"not a picture")
    values = read_recipe(DIGITS).model_dump() | {"data": {"loader": "class_folders", "path": tmp_path}}
    with pytest.raises(DataError, match=r"\d+\.png"):
        train.main(Recipe.model_validate(values), run=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / checkpoint.LAST).exists()
