"""Tests of the loss of auxiliary heads: each counted as often as its paper says."""

import pytest
import torch
from torch import nn

from models.architectures import ARCHITECTURES
from training.auxiliary_heads import AuxiliaryHeadsLoss


@pytest.mark.parametrize(("name", "weight"), [("googlenet", 0.3), ("inception_v3", 0.4)])
def test_auxiliary_losses_count_as_in_the_papers(name: str, weight: float) -> None:
    with torch.device("meta"):
        assert ARCHITECTURES[name](3, 10).auxiliary_weight == weight
    loss = AuxiliaryHeadsLoss(nn.L1Loss(), weight=weight)
    zero, heads = torch.zeros(()), (torch.tensor(1.0), torch.tensor(2.0), torch.tensor(4.0))
    assert loss(heads, zero).item() == pytest.approx(1 + weight * 6)
    assert loss(heads[0], zero).item() == 1
    assert loss(heads[0].bfloat16(), zero).dtype == torch.float32
