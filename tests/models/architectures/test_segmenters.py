"""U-Net's options, max-unpooling and volumes, against the papers' arithmetic and torch's own layers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.architectures.fcn import FCNUnpool, Switches, Unpool
from models.architectures.unet import UNet
from models.architectures.unet3d import UNet3D


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_original_unet_has_the_parameters_that_its_figure_gives() -> None:
    """Figure 1 of Ronneberger 2015: 3 x 3 convolutions (inputs, outputs), 2 x 2 up-convolutions, one of 1 x 1."""
    widths = [64, 128, 256, 512, 1024]
    down = [(1, 64), (64, 64)] + [pair for w in widths[:-1] for pair in ((w, 2 * w), (2 * w, 2 * w))]
    up = [pair for w in reversed(widths[:-1]) for pair in ((2 * w, w), (w, w))]  # the first after joining the skip
    convolutions = sum(9 * inputs * outputs + outputs for inputs, outputs in down + up)
    up_convolutions = sum(4 * 2 * w * w + w for w in widths[:-1])
    with torch.device("meta"):
        network = UNet(in_channels=1, num_classes=2, convolutions="valid", norm="none")
        assert network(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert parameters(network) == convolutions + up_convolutions + 64 * 2 + 2 == 31_030_658


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("up", ["transposed", "bilinear"])
@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_every_option_goes_with_every_other(norm: str, up: str, depth: int) -> None:
    """Valid: n px at the bottom become 2 n - 4 a level up, or 2 n - 6 where the two that interpolation makes up go."""
    side = 2**depth
    lost, a_level = {"transposed": (6 * side - 4, 4), "bilinear": (7 * side - 5, 6)}[up]  # 92 px a side in the paper
    answered = [side * n - a_level * (side - 1) for n in (8, 9)]
    with torch.device("meta"):
        same = UNet(3, 2, depth=depth, norm=norm, up=up)  # type: ignore[arg-type]
        assert same(torch.zeros(2, 3, 2 * side, 3 * side)).shape == (2, 2, 2 * side, 3 * side)
        valid = UNet(3, 2, depth=depth, norm=norm, up=up, convolutions="valid")  # type: ignore[arg-type]
        assert list(valid(torch.zeros(2, 3, *(n + 2 * lost for n in answered))).shape[2:]) == answered


def test_bilinear_up_has_the_weights_of_a_1_x_1_convolution_in_place_of_a_2_x_2_one() -> None:
    with torch.device("meta"):
        fewer = parameters(UNet(1, 2)) - parameters(UNet(1, 2, up="bilinear"))
    assert fewer == sum(3 * 2 * w * w for w in (64, 128, 256, 512))


def images(*, ties: bool) -> torch.Tensor:
    """Real-valued, or of whole numbers among which most windows have two equal largest."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 12, 20)
    return x.round() if ties else x


@pytest.mark.parametrize("ties", [False, True])
def test_unpooling_is_torchs_max_unpool(ties: bool) -> None:
    x = images(ties=ties)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    values = torch.randn_like(pooled)
    assert torch.equal(Unpool()(values, Switches()(x)), F.max_unpool2d(values, indices, 2))


def test_unpooling_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0, 5.0, 5.0], [4.0, 3.0, 5.0, 5.0]]]])
    out = Unpool()(torch.tensor([[[[7.0, 8.0]]]]), Switches()(x))
    assert out.tolist() == [[[[0, 0, 8, 0], [7, 0, 0, 0]]]]


def test_gradients_of_unpooling_are_torchs() -> None:
    x = images(ties=False)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    ours, theirs = (pooled.clone().requires_grad_() for _ in range(2))
    weight = torch.randn_like(x)
    (Unpool()(ours, Switches()(x)) * weight).sum().backward()
    (F.max_unpool2d(theirs, indices, 2) * weight).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)  # type: ignore[arg-type]


def test_the_encoder_is_vgg16s() -> None:
    """Simonyan 2015, configuration D: 14,714,688 weights and biases, here with a scale and shift for each bias."""
    with torch.device("meta"):
        network = FCNUnpool(in_channels=3, num_classes=21)
    channels = sum(m.out_channels for m in network.encoder.modules() if isinstance(m, nn.Conv2d))
    assert parameters(network.encoder) == 14_714_688 + channels
    mirrored = [(m.out_channels, m.in_channels) for m in network.decoder.modules() if isinstance(m, nn.Conv2d)]
    convolutions = [(m.in_channels, m.out_channels) for m in network.encoder.modules() if isinstance(m, nn.Conv2d)]
    assert mirrored[::-1][1:] == convolutions[1:]  # its last makes 64 channels of 64, not 3


def test_the_3d_unet_has_the_papers_parameters_and_sizes() -> None:
    """Çiçek 2016: 19,069,955 parameters, 132 x 132 x 116 voxels of 3 channels to 44 x 44 x 28 of 3 classes."""
    with torch.device("meta"):
        network = UNet3D(in_channels=3, num_classes=3, convolutions="valid")
        assert network(torch.zeros(1, 3, 116, 132, 132)).shape == (1, 3, 28, 44, 44)
    scales = sum(m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm3d))
    assert parameters(network) == 19_069_955 + scales


def test_the_3d_unets_sides_are_free_in_multiples() -> None:
    network = UNet3D(in_channels=1, num_classes=2, depth=2, base_width=2).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 4, 8, 12)).shape == (1, 2, 4, 8, 12)
