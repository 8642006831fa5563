"""Tests of geometry: tiles that cover every pixel once, and give what one pass over the whole image gives."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from models.geometry import Grid, halo_of, plan
from models.image import Array
from models.preprocess import pad
from service.inference import open_session
from tests import package_parts, tiny


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    tile=st.integers(1, 300),
    halo=st.integers(0, 5),
    border=st.integers(0, 20),
    step=st.sampled_from([1, 4, 16]),
)
@settings(max_examples=300, deadline=None)
def test_tiles_cover_every_pixel_once(height: int, width: int, tile: int, halo: int, border: int, step: int) -> None:
    grid = grid_of(tile_px=tile, halo=halo * step, border=border, step=step, stride=step)
    padded = {axis: grid.min_size + length * step for axis, length in (("y", height), ("x", width))}
    painted = np.zeros([length - 2 * border for length in padded.values()], int)
    for part in plan(height=padded["y"], width=padded["x"], grid=grid):
        painted[part.inner] += 1
        for outer, inner, crop in zip(part.outer, part.inner, part.crop):
            assert outer.start % step == 0  # the network's grid
            assert 0 <= crop.start < crop.stop <= outer.stop - outer.start - 2 * border
            assert inner.start == outer.start + crop.start
    assert (painted == 1).all()


@pytest.mark.parametrize(
    ("length", "side", "origins"),
    [
        (64, 64, [0]),
        (128, 128, [0]),
        (144, 112, [0, 32]),  # two of 128 would overlap more than they must
        (160, 112, [0, 48]),
        (288, 128, [0, 64, 128, 160]),
    ],
)
def test_a_window_moves_by_what_its_halo_leaves_and_the_last_ends_where_the_image_ends(
    length: int, side: int, origins: list[int]
) -> None:
    grid = grid_of(tile_px=128, halo=32, border=0, step=16, stride=16)
    tiles = list(plan(height=16, width=length, grid=grid))
    assert [tile.outer[1].start for tile in tiles] == origins
    assert {tile.outer[1].stop - tile.outer[1].start for tile in tiles} == {side}
    assert tiles[-1].outer[1].stop == tiles[-1].inner[1].stop == length


def grid_of(*, tile_px: int, halo: int, border: int, step: int, stride: int) -> Grid:
    """min_size is the smallest multiple of step that valid convolutions leave something of."""
    min_size = (2 * border // step + 1) * step
    fields = {"input": {"channels": 1, "min_size": min_size, "step": step, "steps": []}}
    return Grid.of(package_parts.spec_of(halo=halo, border=border, stride=stride, **fields), tile_px=tile_px)


def unet(*, valid: bool) -> bytes:
    """Random weights, stride 4: conv, pool, conv, pool, conv, up x4, conv (3 x 3 each, with a ReLU but for the last).

    With zero padding its reach is 1 + 2 + 4 + 4 (of the upsampling) + 1 = 12 px; valid, each side loses
    1 + 2 + 4 + 1 = 8 px, of sizes 4 k + 18 with k >= 0.
    """
    random = np.random.default_rng(1)
    sides = [0] * 4 if valid else [1] * 4
    channels = [1, 4, 4, 4, 2]
    nodes, constants, x = [], {}, "x"
    for level in range(4):
        constants[f"w{level}"] = random.normal(size=(channels[level + 1], channels[level], 3, 3)) * 0.5
        nodes.append(helper.make_node("Conv", [x, f"w{level}"], [f"c{level}"], pads=sides))
        x = f"c{level}"
        if level < 3:
            nodes.append(helper.make_node("Relu", [x], [f"r{level}"]))
            x = f"r{level}"
        if level < 2:
            nodes.append(helper.make_node("MaxPool", [x], [f"p{level}"], kernel_shape=[2, 2], strides=[2, 2]))
            x = f"p{level}"
        if level == 2:
            constants["scales"] = np.array([1, 1, 4, 4])
            nodes.append(helper.make_node("Resize", [x, "", "scales"], ["up"], mode="nearest"))
            x = "up"
    nodes.append(helper.make_node("Sigmoid", [x], ["probabilities"]))
    return package_parts.graph(
        nodes, constants=constants, inputs=("N", 1, "H", "W"), outputs={"probabilities": ("N", 2, "H2", "W2")}
    )


NETWORKS = {
    "same convolutions": (False, {"min_size": 4, "step": 4}, {"halo": 12, "border": 0}),
    "valid convolutions": (True, {"min_size": 22, "step": 4}, {"halo": 0, "border": 8}),
}


@pytest.mark.parametrize("case", NETWORKS)
@pytest.mark.parametrize("size", [(40, 44), (101, 67), (64, 200), (7, 150)])
def test_tiles_give_what_one_pass_over_the_whole_image_gives(case: str, size: tuple[int, int]) -> None:
    valid, sizes, lost = NETWORKS[case]
    spec = package_parts.spec_of(input={"channels": 1, "steps": [], **sizes}, stride=4, **lost)
    session = open_session(unet(valid=valid), device="cpu", threads=1)
    image = np.random.default_rng(2).normal(size=(1, *size)).astype(np.float32)
    grid = Grid.of(spec, tile_px=48)
    padded = pad(image, min_size=grid.min_size, step=grid.step, border=grid.border)

    def run(tensor: Array) -> Array:
        return session.run(tensor[None], ["probabilities"])["probabilities"][0]

    whole = run(padded)
    tiled = np.full_like(whole, np.nan)
    for tile in plan(height=padded.shape[1], width=padded.shape[2], grid=grid):
        tiled[:, *tile.inner] = run(padded[:, *tile.outer])[:, *tile.crop]
    assert np.abs(tiled - whole).max() <= 1e-6
    assert whole.shape[1] >= size[0]
    assert whole.shape[2] >= size[1]


def test_a_tile_grows_until_half_of_it_is_of_use(tmp_path: Path) -> None:
    spec = tiny.blobs(tmp_path, halo=96, stride=16, input={"channels": 1, "min_size": 16, "step": 16, "steps": []}).spec
    assert Grid.of(spec, tile_px=64).tile == 384
    assert Grid.of(spec, tile_px=1000).tile == 992


@pytest.mark.parametrize(
    ("first", "last", "step", "halo"),
    [
        (0, 0, 1, 0),  # a pixel that depends on itself alone
        (-1, 1, 1, 1),  # a 3 x 3 convolution
        (-3, 3, 4, 4),  # a block of 0 to 3 that needs 3 px above: rounded up to the step
        (-4, 7, 4, 4),
        (-1, 8, 4, 8),  # the farther side decides: 5 px below
    ],
)
def test_a_halo_is_the_farther_side_in_whole_steps(first: int, last: int, step: int, halo: int) -> None:
    assert halo_of(first, last, step=step) == halo
