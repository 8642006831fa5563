"""Tests of the loader of UCR time series: a line is a label and its samples."""

from pathlib import Path

import numpy as np
import pytest

from tests.data import real_data
from tests.training.data.files import load
from training.config import read_recipe
from training.data.examples import DataError
from training.data.split import divide

BEATS = "  1.0000e+00  1.5  -2.0  3.0\n  2.0  4.0  5.0  6.0\n  5.0  0.0  0.0  0.0\n"
CLASSES = {"2": "odd", "1": "normal"}


def test_a_line_is_a_label_and_its_samples(tmp_path: Path) -> None:
    (tmp_path / "beats.txt").write_text(BEATS)
    data = load(loader="ucr", path=tmp_path / "beats.txt", classes=CLASSES)
    assert data.classes == ("odd", "normal")
    assert [(e.name, e.stratum, int(e.truth())) for e in data.examples] == [
        ("line 1", "normal", 1),
        ("line 2", "odd", 0),
    ]
    image = data.examples[0].image()
    assert (image.shape, image.dtype, image[0, :, 0].tolist()) == ((1, 3, 1), np.float32, [1.5, -2, 3])


@pytest.mark.parametrize(
    ("text", "says"), [("1 2 3\n1 2\n", "not a table"), ("1 nan\n2 3\n", "line 1 "), ("1 x\n", "not a table")]
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "beats.txt").write_text(text)
    with pytest.raises(DataError, match=says):
        load(loader="ucr", path=tmp_path / "beats.txt", classes=CLASSES)


def test_the_beats_are_all_there() -> None:
    recipe = read_recipe(Path("training/recipes/heartbeats.toml"), data=real_data("ecg5000/ECG5000_TRAIN.txt"))
    parts = divide(recipe.data.load(), recipe.split)
    assert sum(map(len, parts.values())) == 498
    assert {len({e.stratum for e in part}) for part in parts.values()} == {4}  # every class on every side
