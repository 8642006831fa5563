"""Test-time augmentation: the mean over mirrored inputs, worked out by hand, through the service's own pipeline."""

import io
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from models.flips import Flip
from models.image import Array
from models.package import Package
from service.encode.png_writer import png
from tests import package_parts, tiny
from tests.conftest import Client
from tests.service.image_files import form
from training.evaluated_model import model_from_package

IMAGE = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
LARGE = np.random.default_rng(1).integers(0, 256, (70, 45)).astype(np.uint8)
WEIGHT = np.random.default_rng(2).normal(0, 0.3, (3, 1, 8, 8)).astype(np.float32)


def sided(root: Path, flips: tuple[Flip, ...]) -> Package:
    """A classifier of 8 x 8 images that sees where what is: softmax(WEIGHT . image)."""
    weights = package_parts.graph(
        [
            helper.make_node("Conv", ["x", "weight"], ["map"]),
            helper.make_node("Flatten", ["map"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={"weight": WEIGHT},
        inputs=("N", 1, 8, 8),
        outputs={"probabilities": ("N", 3)},
    )
    spec = {
        "name": "sided", "version": "1", "description": "Which side?", "task": "classification", "architecture": "tiny",
        "input": {"channels": 1, "size": (8, 8), "steps": package_parts.TO_UNIT}, "activation": "softmax",
        "classes": [{"label": "a"}, {"label": "b"}, {"label": "c"}], "receptive_field": 8, "stride": 1, "flips": flips,
    }  # fmt: skip
    return package_parts.write_package(root, spec, weights, package_parts.ramp(1, 8))


def shifting(root: Path, flips: tuple[Flip, ...]) -> Package:
    """A segmenter of any size that is a multiple of 4: its answer for a pixel is that pixel's left neighbour."""
    weight = np.zeros((1, 1, 1, 3), np.float32)
    weight[..., 0] = 1.0
    weights = package_parts.graph(
        [
            helper.make_node("Conv", ["x", "weight"], ["logits"], pads=[0, 1, 0, 1]),
            helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        ],
        constants={"weight": weight},
        inputs=("N", 1, "H", "W"),
        outputs={"probabilities": ("N", 1, "H", "W")},
    )
    spec = {
        "name": "shifting", "version": "1", "description": "Left?", "task": "segmentation", "architecture": "tiny",
        "input": {"channels": 1, "min_size": 4, "step": 4, "smallest_image": 4, "steps": package_parts.TO_UNIT},
        "classes": [{"label": "left"}], "activation": "sigmoid", "receptive_field": 3, "stride": 4, "halo": 4,
        "flips": flips,
    }  # fmt: skip
    return package_parts.write_package(root, spec, weights, package_parts.ramp(1, 8))


def softmax(logits: Array) -> Array:
    e = np.exp(logits - logits.max())
    return np.asarray(e / e.sum())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("flips", "passes"), [((), 1), (("horizontal",), 2), (("vertical",), 2), (("horizontal", "vertical"), 4)]
)
async def test_a_classifiers_answer_is_the_mean_over_its_flips(
    tmp_path: Path, serving: Client, flips: tuple[Flip, ...], passes: int
) -> None:
    package = sided(tmp_path, flips)
    x = (IMAGE / 255).astype(np.float32)
    views = [x]
    if "horizontal" in flips:
        views += [x[:, ::-1]]
    if "vertical" in flips:
        views += [view[::-1] for view in views]
    wanted = np.mean([softmax((WEIGHT[:, 0] * view).sum(axis=(1, 2))) for view in views], axis=0)
    async with serving(models=tmp_path) as http:
        answer = (await http.post("/predict", files=form(png(IMAGE)))).json()
        ran = (await http.get("/v2/models/sided/stats")).json()["model_stats"][0]
        assert (await http.get("/models/sided")).json()["flips"] == list(flips)
    got = {found["label"]: found["probability"] for found in answer["classes"]}
    np.testing.assert_allclose([got[label] for label in "abc"], wanted, atol=1e-5)
    assert ran["execution_count"] == passes
    np.testing.assert_allclose(model_from_package(package.folder).probabilities(x[None]), wanted, atol=1e-5)


@pytest.mark.anyio
async def test_a_segmenters_maps_are_mirrored_back_tile_by_tile(tmp_path: Path, serving: Client) -> None:
    """Left neighbour and, mirrored there and back, right neighbour: their mean, at every tile's edge too."""
    shifting(tmp_path, ("horizontal",))
    x = np.pad((LARGE / 255).astype(np.float32), ((0, 2), (0, 3)), mode="symmetric")  # to multiples of 4
    sides = np.pad(x, ((0, 0), (1, 1)))
    wanted = np.mean([1 / (1 + np.exp(-side)) for side in (sides[:, :-2], sides[:, 2:])], axis=0)[:70, :45]
    async with serving(models=tmp_path, tile_px=256) as http:
        one = await http.post("/segment", files=form(png(LARGE)), data={"format": "probabilities"})
    async with serving(models=tmp_path, tile_px=64) as http:
        tiled = await http.post("/segment", files=form(png(LARGE)), data={"format": "probabilities"})
        ran = (await http.get("/v2/models/shifting/stats")).json()["model_stats"][0]
    for answer in (one, tiled):
        np.testing.assert_allclose(np.load(io.BytesIO(answer.content))[0], wanted, atol=1e-6)
    assert ran["execution_count"] > 2
    assert ran["execution_count"] % 2 == 0


@pytest.mark.anyio
async def test_maps_are_of_the_image_as_it_is(tmp_path: Path, serving: Client) -> None:
    left = np.zeros((8, 8), np.uint8)
    left[:, :2] = 255
    maps = []
    for number, flips in enumerate([(), ("horizontal",)]):
        tiny.brightness(tmp_path / str(number), flips=flips)
        async with serving(models=tmp_path / str(number)) as http:
            maps.append((await http.post("/cam", files=form(png(left)), data={"format": "raw"})).content)
    assert maps[0] == maps[1]
