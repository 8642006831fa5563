"""Tests of what every training task shares: calibration, activation and scores that are means."""

import numpy as np
import pytest
import torch

from training.tasks.training_task import activate, calibrate, mean_score

LOGITS = torch.tensor([[2.0, -4.0]])  # (1, 2)


@pytest.mark.parametrize(
    ("temperature", "bias", "expected"),
    [(1.0, (), [2.0, -4.0]), (2.0, (), [1.0, -2.0]), (2.0, (0.5, -1.0), [1.5, -3.0])],
)
@pytest.mark.parametrize("sides", [(), (3,), (3, 2)])
def test_logits_are_divided_and_each_class_is_shifted(
    temperature: float, bias: tuple[float, ...], expected: list[float], sides: tuple[int, ...]
) -> None:
    shape = (1, 2, *(1 for _ in sides))
    logits = LOGITS.view(shape).expand(1, 2, *sides)
    found = calibrate(logits, temperature=temperature, bias=bias)
    torch.testing.assert_close(found, torch.tensor([expected]).view(shape).expand(1, 2, *sides))


def test_softmax_sums_to_one_and_sigmoid_takes_each_by_itself() -> None:
    even = torch.zeros(1, 2, 3, 3)
    torch.testing.assert_close(activate(even, "softmax"), torch.full((1, 2, 3, 3), 0.5))
    torch.testing.assert_close(activate(LOGITS, "softmax").sum(dim=1), torch.ones(1))
    torch.testing.assert_close(activate(LOGITS, "sigmoid"), torch.tensor([[0.880797, 0.017986]]))


def test_a_mean_score_is_that_of_the_chosen_images() -> None:
    score = mean_score([0.0, 0.5, 1.0])
    assert score(np.array([0, 1, 2])) == 0.5
    assert score(np.array([2, 2, 1])) == pytest.approx(5 / 6)
