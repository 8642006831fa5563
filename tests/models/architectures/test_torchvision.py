"""Names, shapes and answers of torchvision 0.29.2's networks, so that its checkpoints load and mean the same.

torchvision itself is not needed. What stands here was computed from it by the two functions below.
"""

import hashlib

import pytest
import torch
from torch import Tensor, nn

from models.architectures import ARCHITECTURES

DIGESTS = {
    "alexnet_torchvision": "935c1ea73a7869ee",
    "densenet121": "9c659ec278435e95",
    "googlenet": "de3745733576b3b1",
    "inception_v3": "4c9e13f64584de74",
    "resnet18": "5191d63ec3989592",
    "resnet34": "f8de2a1812ef85e4",
    "resnet50": "a87e91cd6bd1f939",
    "resnext50_32x4d": "20929ac81dfcc94f",
    "vgg16": "ba63c2556d912509",
    "vgg16_bn": "86bad13b66635552",
}
ANSWERS = [  # name, side of the image in px, logits
    ("alexnet_torchvision", 97, [-1.92148, 3.37413, -2.65625, 0.656172]),
    ("densenet121", 97, [3.82756, 3.11204, -1.90518, -4.62446]),
    ("googlenet", 97, [0.166676, 1.4424, 1.30956, 0.647912]),
    ("inception_v3", 107, [1.98089, -0.770237, -1.14563, 0.424569]),
    ("resnet18", 97, [-4.86736, 4.68723, -3.70237, 0.461619]),
    ("resnet50", 97, [9.92155, -1.09587, -9.77518, 7.04365]),
    ("resnext50_32x4d", 97, [4.64273, 0.601932, -8.87244, 4.89882]),
]


def digest(network: nn.Module) -> str:
    """Of every tensor's name and shape, for three channels and 1,000 classes."""
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in network.state_dict().items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def spread(shape: tuple[int, ...], *, start: int) -> Tensor:
    """Numbers between -1 and 1 without randomness: Weyl's sequence, in whole numbers, the same on every machine."""
    steps = torch.arange(start, start + torch.Size(shape).numel()) * 2_654_435_769 & 0xFFFFFFFF
    return (steps / 2**31 - 1).float().reshape(shape)


def answer(network: nn.Module, *, side: int) -> list[float]:
    """The logits of one fixed image with fixed weights, of the size that keeps each layer's variance."""
    state = network.state_dict()
    for number, name in enumerate(sorted(state)):
        tensor = state[name]
        values = spread(tuple(tensor.shape), start=977 * number)
        if tensor.ndim > 1:
            tensor.copy_(values * (6 / tensor[0].numel()) ** 0.5)
        elif tensor.ndim == 1:
            tensor.copy_(0.2 * values + (0 if name.endswith(("bias", "running_mean")) else 1))
    with torch.no_grad():
        return network.eval()(spread((1, 3, side, side), start=1))[0].tolist()


@pytest.mark.parametrize(("name", "known"), DIGESTS.items())
def test_names_and_shapes_are_torchvisions(name: str, known: str) -> None:
    with torch.device("meta"):
        assert digest(ARCHITECTURES[name](in_channels=3, num_classes=1000)) == known


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side", "known"), ANSWERS)
def test_answers_are_torchvisions(name: str, side: int, known: list[float]) -> None:
    logits = answer(ARCHITECTURES[name](in_channels=3, num_classes=4), side=side)
    assert logits == pytest.approx(known, abs=1e-4 * max(map(abs, known)))
