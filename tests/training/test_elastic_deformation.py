"""U-Net's elastic deformation: where pixels come from, how far, and that image and target stay together."""

import numpy as np
import torch

from training.augmentation import augmentation
from training.config import AugmentConfig
from training.elastic_deformation import RandDeform, displace, displacements


def test_equal_shifts_move_the_image_as_a_whole() -> None:
    image = torch.rand(2, 20, 30)
    shift = torch.stack([torch.full((20, 30), 3.0), torch.full((20, 30), -2.0)])
    torch.testing.assert_close(displace(image, shift)[:, :17, 2:], image[:, 3:, :-2])


def test_beyond_the_border_it_is_mirrored() -> None:
    image = torch.arange(8.0)[None, :, None].expand(1, 8, 8)
    shift = torch.stack([torch.full((8, 8), -2.0), torch.zeros(8, 8)])
    torch.testing.assert_close(displace(image, shift)[0, :, 0], torch.tensor([2.0, 1, 0, 1, 2, 3, 4, 5]))


def test_the_grid_spans_the_image() -> None:
    """The corners move by the grid's corners, the middle by its middle, in px."""
    coarse = torch.randn(2, 3, 3) * 10
    shift = displacements(coarse, (41, 61))
    assert shift.shape == (2, 41, 61)
    torch.testing.assert_close(shift[:, ::20, ::30], coarse)


def test_displacements_have_the_standard_deviation() -> None:
    deform = RandDeform(("image",), std_px=10)
    deform.set_random_state(0)
    ramp = torch.arange(400.0).expand(1, 400, 400)  # each pixel's value is its column
    moved = [deform({"image": ramp})["image"][0, 200, 200].item() - 200 for _ in range(400)]
    assert abs(np.std(moved) - 10) < 1.5
    assert abs(np.mean(moved)) < 2


def test_image_and_target_are_deformed_alike() -> None:
    pixels = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32)
    compose = augmentation(AugmentConfig(deform_px=10, border_px=8), keys=("image", "target"))
    compose.set_random_state(3)
    changed = compose({"image": pixels, "target": pixels})
    torch.testing.assert_close(changed["image"], changed["target"])
    assert changed["image"].shape == (1, 80, 80)
    assert (changed["image"][:, 8:-8, 8:-8] - torch.from_numpy(pixels)).abs().max() > 0.1


def test_a_mirrored_border_is_the_packages() -> None:
    """The same pixels as at prediction, where models.preprocess.pad makes them."""
    pixels = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    compose = augmentation(AugmentConfig(border_px=2), keys=("image",))
    np.testing.assert_array_equal(compose({"image": pixels})["image"], np.pad(pixels[0], 2, mode="symmetric")[None])
