"""Random changes of training images, on pictures drawn so that the change can be read off."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from training.augmentation import augmentation
from training.config import AugmentConfig, Recipe, read_recipe

DOT = np.zeros((1, 40, 80), np.float32)
DOT[:, 18:22, 38:42] = 1


@pytest.mark.parametrize("size", [(40, 80), None])
def test_a_shift_is_a_share_of_each_side(size: tuple[int, int] | None) -> None:
    """0.2 of 40 and 80 px: 8 and 16 at most, and near that in one of 40 draws; without a size that of the crop."""
    change = augmentation(AugmentConfig(shift=0.2, crop=None if size else (40, 80)), keys=("image",), size=size)
    moved = []
    for seed in range(40):
        change.set_random_state(seed)
        image = change({"image": DOT})["image"].numpy()[0]
        moved.append(
            [
                abs(np.average(axis, weights=image) - np.average(axis, weights=DOT[0]))
                for axis in np.indices(image.shape)
            ]
        )
    down, across = np.max(moved, axis=0)
    assert 6 < down < 8.1
    assert 12 < across < 16.1


def test_a_shift_needs_a_size() -> None:
    values = read_recipe(Path("training/recipes/nuclei.toml")).model_dump()
    values["augment"] |= {"crop": None, "shift": 0.1}
    with pytest.raises(ValidationError, match=r"augment\.shift: a fraction of augment\.crop"):
        Recipe.model_validate(values)
