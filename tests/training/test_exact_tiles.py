"""Tiles of every local network give what one pass over the whole image gives; those of a global one do not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.architectures import ARCHITECTURES
from service.pipeline.tiling import Grid, plan
from training.network_geometry import NetworkGeometry, segmenter_geometry

SAME: dict[str, Any] = {"depth": 2, "base_width": 2}
VALID = SAME | {"convolutions": "valid"}
LOCAL = {
    "transposed": ("unet", SAME),
    "bilinear": ("unet", SAME | {"up": "bilinear"}),
    "unnormalised": ("unet", SAME | {"norm": "none"}),
    "valid": ("unet", VALID),
    "valid, bilinear": ("unet", VALID | {"up": "bilinear"}),
    "unpooling": ("fcn_unpool", {"convolutions": (2, 2), "base_width": 3}),
}


def network_of(name: str, options: dict[str, Any]) -> nn.Module:
    """In float64, with normalisation as after training."""
    torch.manual_seed(0)
    network = ARCHITECTURES[name](1, 2, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network.double().eval()


@torch.no_grad()
def whole_and_tiled(network: nn.Module, geometry: NetworkGeometry) -> tuple[Tensor, Tensor]:
    g = geometry
    tile = g.min_size + (2 * (g.halo + g.border) + 2 * g.step) // g.step * g.step
    grid = Grid(tile=tile, min_size=g.min_size, step=g.step, halo=g.halo, border=g.border)
    side = tile + 5 * g.step
    x = torch.randn(1, 1, side, side + 2 * g.step, dtype=torch.float64)
    whole = network(x)
    tiled = torch.full_like(whole, torch.nan)
    for part in plan(height=x.shape[2], width=x.shape[3], grid=grid):
        tiled[:, :, *part.inner] = network(x[:, :, *part.outer])[:, :, *part.crop]
    return whole, tiled


@pytest.mark.parametrize("case", LOCAL)
def test_tiles_are_exact(case: str) -> None:
    network = network_of(*LOCAL[case])
    geometry = segmenter_geometry(network, in_channels=1)
    assert geometry.reach == "local"
    whole, tiled = whole_and_tiled(network, geometry)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)


def test_tiles_of_group_normalisation_are_not_exact_and_its_geometry_says_so() -> None:
    network = network_of("unet", SAME | {"norm": "group"})
    geometry = segmenter_geometry(network, in_channels=1)
    assert geometry.reach == "image"
    whole, tiled = whole_and_tiled(network, geometry)
    assert (tiled - whole).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        # A 1 x 1 convolution and interpolation see a pixel more on each side of each level than the 2 x 2 one.
        ("unet", SAME | {"up": "bilinear"}, NetworkGeometry(4, 52, halo=28, border=0, min_size=4, step=4)),
        ("unet", VALID | {"up": "bilinear"}, NetworkGeometry(4, 52, halo=0, border=23, min_size=48, step=4)),
        # Of a single pixel there is nothing to normalise: the lowest map needs two.
        (
            "unet",
            SAME | {"norm": "group"},
            NetworkGeometry(4, 44, halo=24, border=0, min_size=8, step=4, reach="image"),
        ),
        # A 3 x 3 convolution over two windows of 2 x 2, each of which saw a pixel beyond: 1 + 2 * 2 + 1.
        (
            "fcn_unpool",
            {"convolutions": (1,), "base_width": 2},
            NetworkGeometry(2, 6, halo=4, border=0, min_size=2, step=2),
        ),
        (
            "fcn_unpool",
            {"convolutions": (2, 2), "base_width": 2},
            NetworkGeometry(4, 28, halo=16, border=0, min_size=4, step=4),
        ),
    ],
)
def test_geometry(name: str, options: dict[str, Any], wanted: NetworkGeometry) -> None:
    assert segmenter_geometry(ARCHITECTURES[name](1, 2, **options), in_channels=1) == wanted


@pytest.mark.parametrize(("up", "field", "halo"), [("transposed", 204, 96), ("bilinear", 236, 112)])
def test_geometry_at_the_papers_depth(up: str, field: int, halo: int) -> None:
    found = segmenter_geometry(ARCHITECTURES["unet"](1, 2, base_width=1, up=up), in_channels=1)
    assert found == NetworkGeometry(16, field, halo=halo, border=0, min_size=16, step=16)
