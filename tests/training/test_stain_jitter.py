"""Beer and Lambert: twice the stain lets through the square of the light."""

import numpy as np
import pytest
from skimage.color import hed2rgb

from training.augmentation import augmentation
from training.config import AugmentConfig
from training.stain_jitter import RandStainJitter, jitter

DENSITIES = np.random.default_rng(0).uniform(0.01, 0.05, (5, 6, 3))
TISSUE = hed2rgb(DENSITIES).astype(np.float32)  # (H, W, 3) in [0, 1]
NONE = np.zeros(3)


def test_twice_the_stain_is_the_square_of_the_light() -> None:
    np.testing.assert_allclose(jitter(TISSUE, np.ones(3), NONE), TISSUE, atol=1e-4)
    np.testing.assert_allclose(jitter(TISSUE, np.full(3, 2.0), NONE), TISSUE**2, atol=1e-4)
    assert (jitter(np.ones((2, 2, 3)), np.full(3, 1.3), NONE) == 1).all()  # glass stays glass


def test_one_stain_changes_by_itself() -> None:
    more = hed2rgb(DENSITIES * [1.5, 1, 1] + [0, 0.01, 0])
    np.testing.assert_allclose(
        jitter(TISSUE, np.array([1.5, 1, 1]), np.array([0, 0.01, 0]) * np.log(1e6)), more, atol=1e-4
    )


def test_the_seed_alone_decides() -> None:
    change, image = augmentation(AugmentConfig(stain=0.05), keys=("image",)), TISSUE.transpose(2, 0, 1)
    first, again, other = (change.set_random_state(seed=seed)({"image": image})["image"] for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()
    assert 0.001 < float(np.abs(first.numpy() - image).max()) < 0.5
    assert first.min() >= 0
    assert first.max() <= 1


def test_intensities_that_are_no_light_are_refused() -> None:
    with pytest.raises(ValueError, match=r"intensities are .* to \d{3}; they must be in \[0, 1\]"):
        RandStainJitter(0.05)({"image": TISSUE.transpose(2, 0, 1) * 255})
