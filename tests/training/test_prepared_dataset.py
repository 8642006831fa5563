"""Held in memory or read whenever drawn: the same bits, and level memory."""

import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models.image import Array
from training.config import InputConfig, read_recipe
from training.data.examples import DataError, Example, constant
from training.prepared_dataset import PreparedDataset
from training.tasks import TASKS

SIDE, COUNT = 128, 100
ONE = SIDE * SIDE * 4  # bytes of one prepared image
INPUT = {"channels": 1, "steps": [{"id": "zero_mean_unit_variance"}, {"id": "ensure_dtype"}]}


def picture(number: int) -> Array:
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)


def prepared(how: str, *, image: Callable[[int], Array] = picture, task: str = "multiclass") -> PreparedDataset:
    truth = (lambda n: lambda: picture(n)[:, :, 0].astype(np.int32) % 3) if task == "semantic" else constant
    examples = [Example(f"{n}", f"{n}", "", None, partial(image, n), truth(n % 2)) for n in range(COUNT)]
    return PreparedDataset(
        examples, config=InputConfig.model_validate(INPUT | {"read": how}), task=TASKS[task], classes=3
    )


@pytest.mark.parametrize("task", ["multiclass", "semantic"])
def test_read_once_or_always_is_the_same(task: str) -> None:
    once, always = (prepared(how, task=task) for how in ("once", "always"))
    assert (once.sha256, once.intensity) == (always.sha256, always.intensity)
    for name in ("inputs", "truths", "targets"):
        pairs = zip(getattr(once, name), getattr(always, name), strict=True)
        assert all((one == other).all() and one.dtype == other.dtype for one, other in pairs)
    assert all((a == b).all() for a, b in zip(once[7, 0], always[7, 0]))


@pytest.mark.parametrize(("how", "most", "least"), [("always", 10, 0), ("once", COUNT + 10, COUNT)])
def test_memory_stays_level_where_images_are_read_whenever_drawn(how: str, most: int, least: int) -> None:
    """All 100 looked at twice, in images' worth of memory."""
    prepared(how)  # what the first call imports
    tracemalloc.start()
    try:
        data = prepared(how)
        for draw in range(COUNT):
            data[draw, 0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert least * ONE <= peak <= most * ONE


@pytest.mark.parametrize("how", ["once", "always"])
def test_a_bad_file_stops_before_the_first_step(how: str) -> None:
    def image(number: int) -> Array:
        if number == 93:
            raise DataError("93.png: The PNG file is damaged.")
        return picture(number)

    with pytest.raises(DataError, match=r"93\.png"):
        prepared(how, image=image)


def test_the_recipe_of_all_of_chestxray14_holds_none_of_it() -> None:
    assert read_recipe(Path("training/recipes/chexnet.toml")).input.read == "always"
