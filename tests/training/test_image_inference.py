"""Tests of inference on whole images: padded as the service pads them, and cut to their size."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.geometry import Geometry
from training.image_inference import ImageInference

CPU = torch.device("cpu")
X = np.arange(35, dtype=np.float32).reshape(1, 5, 7)


class Cut(nn.Module):
    """Valid convolutions' shape: the input without `border` px on each side. shapes: of what it was given."""

    def __init__(self, border: int) -> None:
        super().__init__()
        self.border = border
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        return x[:, :, self.border : x.shape[2] - self.border, self.border : x.shape[3] - self.border]


@pytest.mark.parametrize(
    ("border", "min_size", "step", "seen"),
    [
        (0, 4, 4, (8, 8)),
        (0, 16, 4, (16, 16)),  # no smaller than the network takes
        (2, 5, 4, (9, 13)),  # 5 + 2 * 2 = 5 + 4; 7 + 2 * 2 = 11, next 5 + 2 * 4
        (0, 1, 1, (5, 7)),
    ],
)
def test_an_image_is_padded_to_what_the_network_takes_and_answered_in_its_size(
    border: int, min_size: int, step: int, seen: tuple[int, int]
) -> None:
    network = Cut(border)
    geometry = Geometry(step, receptive_field=1, halo=0, border=border, min_size=min_size, step=step)
    np.testing.assert_array_equal(ImageInference(network, CPU, geometry)(X), X)
    assert network.shapes == [(1, 1, *seen)]


def test_a_classifiers_image_is_taken_as_it_is() -> None:
    assert ImageInference(nn.Flatten(), CPU)(X).tolist() == X.ravel().tolist()
    assert [logits.shape for logits in ImageInference(nn.Flatten(), CPU).all([X, X[:, :2]])] == [(35,), (14,)]


def test_a_network_in_training_does_not_drop_anything() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.9)).train()
    np.testing.assert_array_equal(ImageInference(network, CPU)(X), X.ravel())


def test_half_precision_is_answered_in_float32() -> None:
    class Halved(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).bfloat16()

    logits = ImageInference(Halved(), CPU)(X)
    assert (logits.dtype, logits.tolist()) == (np.float32, X.ravel().tolist())
