"""Tests of the training loop: its schedule and precision, what a step changes, and what a checkpoint keeps."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from training.build import Normalised, build
from training.config import Recipe, TrainingConfig, read_recipe
from training.distributed import ProcessGroup
from training.loop import STATE, Loop, precision, schedule

CPU = torch.device("cpu")
DIGITS = read_recipe(Path("training/recipes/digits.toml"))
TRUTHS = [np.int64(n % 10) for n in range(20)]


def digits(**training: Any) -> Recipe:
    return DIGITS.model_copy(update={"training": DIGITS.training.model_copy(update=training)})


def loop_of(recipe: Recipe) -> Loop:
    return Loop(build(recipe, classes=10), recipe, team=ProcessGroup(CPU), truths=TRUTHS)


def rates(count: int, **fields: Any) -> list[float]:
    """The learning rate of each of `count` steps, and after the last."""
    config = TrainingConfig(**{"epochs": 2, "batch_size": 4, "learning_rate": 1.0} | fields)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = schedule(optimizer, config, examples=40)
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(count):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_one_cycle_rises_for_a_fifth_of_the_steps_and_then_falls_to_nothing() -> None:
    """2 epochs of 40 / 4 batches: 20 steps, of which the fourth has the whole rate."""
    found = rates(19)
    assert (found[0], found[3], found.index(max(found))) == (pytest.approx(1 / 25), pytest.approx(1), 3)
    assert found == sorted(found[:4]) + sorted(found[4:], reverse=True)
    assert found[19] < 1e-4


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({}, 20),
        ({"accumulate": 2}, 10),
        ({"batch_size": 3}, 28),  # the last batch of an epoch is smaller: 14 of them
        ({"batch_size": 40, "epochs": 1}, 1),
    ],
)
def test_a_cosine_ends_with_the_last_step(fields: dict[str, Any], steps: int) -> None:
    found = rates(steps, schedule="cosine", **fields)
    assert found == sorted(found, reverse=True)
    assert found[0] == 1
    assert found[-1] == pytest.approx(0, abs=1e-9)
    assert all(rate > 1e-4 for rate in found[:-1])


def test_a_cycle_of_few_steps_has_a_warm_up_all_the_same() -> None:
    """Of ten steps, though there are five: the second has the whole rate."""
    assert rates(1, batch_size=8, epochs=1)[1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("float16", {"dtype": torch.float16}),
        ("bfloat16", {"dtype": torch.bfloat16}),
        ("float32", {"dtype": torch.bfloat16, "enabled": False}),
    ],
)
def test_a_precision_that_is_asked_for_is_taken(name: str, wanted: dict[str, Any]) -> None:
    assert precision(digits(precision=name).training, CPU) == wanted


@pytest.mark.parametrize("native", [True, False])
def test_without_a_word_bfloat16_is_used_where_it_is_native(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: native)
    assert precision(DIGITS.training, torch.device("cuda")) == {"dtype": torch.bfloat16, "enabled": native}


def fill(network: nn.Module, value: float) -> None:
    for parameter in network.parameters():
        nn.init.constant_(parameter, value)


def test_the_average_moves_by_its_decay_towards_the_weights() -> None:
    """It begins as the weights of the first step: 1. Then 0.75 x 1 + 0.25 x 5 = 2, and 0.75 x 2 + 0.25 x 2 = 2."""
    loop = loop_of(digits(average=0.75))
    found = []
    for value in (1.0, 5.0, 2.0):
        fill(loop.network, value)
        loop.step()
        found.append({round(parameter.mean().item(), 6) for parameter in loop.averaged_body.parameters()})
    assert found == [{1.0}, {2.0}, {2.0}]
    assert not isinstance(loop.averaged_body, Normalised)


def test_a_step_leaves_no_gradient() -> None:
    loop = loop_of(digits(precision="float32"))
    before = [parameter.clone() for parameter in loop.network.parameters()]
    loop.batch_loss(loop.network, torch.ones(2, 1, 32, 32), torch.tensor([0, 1])).backward()
    assert all(parameter.grad is not None for parameter in loop.network.parameters())
    loop.step()
    assert all(parameter.grad is None for parameter in loop.network.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, loop.network.parameters()))


def test_targets_of_valid_convolutions_lose_their_border() -> None:
    """3 x 3 twice: what stands in the two outer pixels of a target does not matter."""
    recipe = digits(precision="float32").model_copy(update={"task": "semantic"})
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3))
    loop = Loop(Normalised(body, recipe.input), recipe, team=ProcessGroup(CPU), truths=TRUTHS)
    x, target = torch.randn(1, 1, 12, 12), torch.zeros(1, 2, 12, 12)
    target[:, 0], target[:, 1, 4:8, 4:8] = 1, 1
    target[:, 0, 4:8, 4:8] = 0
    edged = target.clone()
    edged[:, :, :2], edged[:, :, :, -2:] = 0.5, 0.5
    loss = loop.batch_loss(loop.network, x, target)
    assert loop.batch_loss(loop.network, x, edged) == loss
    assert loop.batch_loss(loop.network, x, 1 - target) != loss


def test_a_loop_goes_on_from_a_state_as_if_it_had_not_stopped() -> None:
    recipe, x, target = digits(precision="float32"), torch.randn(4, 1, 32, 32), torch.arange(4)

    def steps(loop: Loop, count: int) -> None:
        for _ in range(count):
            loop.batch_loss(loop.network, x, target).backward()
            loop.step()

    first = loop_of(recipe)
    steps(first, 2)
    state = first.state_dict()
    assert tuple(state) == STATE
    second = loop_of(recipe)
    second.load_state_dict(copy.deepcopy(state))
    steps(first, 2)
    steps(second, 2)
    for one, other in zip(first.averaged_body.parameters(), second.averaged_body.parameters()):
        assert torch.equal(one, other)
    assert first.scheduler.get_last_lr() == second.scheduler.get_last_lr()
