"""AlexNet as published: its normalisation and its two halves, each against the paper's own terms."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.architectures.alexnet import AlexNet, normalisation


def test_local_response_normalisation_is_the_papers() -> None:
    """Section 3.3, term by term: k = 2, n = 5, alpha = 1e-4, beta = 0.75, fewer neighbours for the first and last."""
    torch.manual_seed(0)
    a = 100 * torch.rand(1, 7, 2, 2, dtype=torch.float64)
    b = torch.empty_like(a)
    for i in range(7):
        near = sum(a[:, j] ** 2 for j in range(max(0, i - 2), min(6, i + 2) + 1))
        b[:, i] = a[:, i] / (2 + 1e-4 * near) ** 0.75
    torch.testing.assert_close(normalisation()(a), b)


def features_of_two_halves(network: AlexNet, x: Tensor) -> Tensor:
    """The paper's figure 2: two columns that meet in the third convolution only."""

    def apart(x: Tensor, conv: nn.Conv2d) -> Tensor:
        columns = zip(x.chunk(2, dim=1), conv.weight.chunk(2), conv.bias.chunk(2))
        return torch.cat([F.conv2d(half, weight, bias, padding=conv.padding) for half, weight, bias in columns], dim=1)

    first, second, third, fourth, fifth = (layer for layer in network.features if isinstance(layer, nn.Conv2d))
    x = F.max_pool2d(normalisation()(first(x).relu()), 3, 2)
    x = F.max_pool2d(normalisation()(apart(x, second).relu()), 3, 2)
    x = apart(apart(third(x).relu(), fourth).relu(), fifth).relu()
    return F.max_pool2d(x, 3, 2)


def test_alexnets_halves_meet_in_the_third_convolution_only() -> None:
    torch.manual_seed(0)
    network, x = AlexNet(3, 10, hidden=8).eval(), torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert network.features(x).shape == (2, 256, 6, 6)
        torch.testing.assert_close(network.features(x), features_of_two_halves(network, x), rtol=1e-4, atol=1e-6)
