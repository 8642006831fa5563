"""GoogLeNet and Inception-v3: branches, auxiliary heads and maps; the receptive fields."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from models.architectures import ARCHITECTURES
from models.architectures.googlenet import GoogLeNet, Inception
from models.architectures.inception import InceptionV3
from training.build import build
from training.config import NetworkConfig, read_recipe
from training.distributed import ProcessGroup
from training.layer_trace import trace
from training.loop import Loop


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("make", "side", "shapes"),
    [
        (GoogLeNet, 224, [(2, 10), (2, 10), (2, 10)]),
        (InceptionV3, 299, [(2, 10), (2, 10)]),
        (lambda *a: GoogLeNet(*a, auxiliary_weight=0), 224, (2, 10)),
        (lambda *a: InceptionV3(*a, auxiliary_weight=0), 96, (2, 10)),
    ],
    ids=["googlenet", "inception_v3", "googlenet alone", "inception_v3 alone"],
)
def test_auxiliary_heads_answer_in_training_alone(
    make: Callable[..., nn.Module], side: int, shapes: list[tuple[int, ...]] | tuple[int, ...]
) -> None:
    with torch.device("meta"):
        network, x = make(3, 10), torch.zeros(2, 3, side, side)
        answer = network.train()(x)
        assert network.eval()(x).shape == (2, 10)
    assert ([tuple(logits.shape) for logits in answer] if isinstance(answer, tuple) else answer.shape) == shapes


def test_every_parameter_of_every_head_learns_in_the_loop() -> None:
    recipe = read_recipe(Path("training/recipes/digits.toml"))
    recipe = recipe.model_copy(update={"network": NetworkConfig(name="googlenet")})
    network, targets = build(recipe, classes=10), torch.arange(4)
    loop = Loop(network, recipe, team=ProcessGroup(torch.device("cpu")), truths=list(targets.numpy()))
    loss = loop.batch_loss(network, torch.randn(4, 1, 64, 64), targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("name", "side", "field"),
    [
        ("alexnet", 224, 163),  # of the fifth convolution: 11, 19 pooled, 51, 67 pooled, and three of 32
        ("googlenet", 224, 379),
        ("inception_v3", 299, 1311),  # Araujo, Norris, Sim, Distill 2019
        ("resnext50_32x4d", 224, 427),
        ("vgg16", 224, 196),  # of the thirteenth convolution
    ],
)
def test_receptive_fields(name: str, side: int, field: int) -> None:
    with torch.device("meta"):
        rows = trace(ARCHITECTURES[name](3, 10).eval(), shape=(3, side, side))
    assert [row.receptive_field for row in rows if row.multiply_adds and row.receptive_field][-1] == (field, field)


def test_an_inception_has_its_branches_side_by_side() -> None:
    block = Inception(8, one=2, three=(3, 4), five=(5, 6), pooled=7).eval()
    x = torch.randn(1, 8, 9, 9)
    with torch.no_grad():
        branches = block(x).split([2, 4, 6, 7], dim=1)
        alone = [branch(x) for branch in (block.branch1, block.branch2, block.branch3, block.branch4)]
    assert all(map(torch.equal, branches, alone))


@pytest.mark.parametrize(
    ("make", "side", "map_side"), [(GoogLeNet, 224, 7), (InceptionV3, 299, 8), (InceptionV3, 75, 1)]
)
def test_the_maps_are_as_large_as_in_the_papers(make: Callable[..., nn.Module], side: int, map_side: int) -> None:
    with torch.device("meta"):
        logits, cam = make(3, 10).eval().forward_with_cam(torch.zeros(2, 3, side, side))
    assert (logits.shape, cam.shape) == ((2, 10), (2, 10, map_side, map_side))


@pytest.mark.parametrize("make", [GoogLeNet, InceptionV3])
def test_the_logits_are_the_means_of_the_maps(make: Callable[..., nn.Module]) -> None:
    network, x = make(1, 3, auxiliary_weight=0).eval(), torch.randn(1, 1, 107, 107)
    with torch.no_grad():
        logits, cam = network.forward_with_cam(x)
        torch.testing.assert_close(logits, cam.mean(dim=(2, 3)) + network.fc.bias)
        torch.testing.assert_close(logits, network(x))
