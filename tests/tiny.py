"""Tiny but real model packages whose answers can be worked out by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from models.package import Package
from tests.package_parts import CAM, PROBABILITIES, TO_UNIT, graph, ramp, tap, write_package

BRIGHTNESS_WEIGHTS = np.array([-4.0, 4.0, 0.0], np.float32)
BRIGHTNESS_BIAS = np.array([2.0, -2.0, -1.0], np.float32)


def brightness(root: Path, *, name: str = "brightness", version: str = "1.0", **fields: Any) -> Package:
    """A classifier of 8 x 8 grey images: with m the prepared image's mean, the logits are (2 - 4 m, 4 m - 2, -1).

    cam (N, 3, 4, 4) is (-4, 4, 0) times the 2 x 2 block means. Steps: 8 bits to [0, 1].
    """
    weights = graph(
        [
            helper.make_node("AveragePool", ["x"], ["blocks"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Conv", ["blocks", "weight"], ["cam"]),
            helper.make_node("ReduceMean", ["cam"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("Add", ["means", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={"weight": BRIGHTNESS_WEIGHTS.reshape(3, 1, 1, 1), "bias": BRIGHTNESS_BIAS},
        inputs=("N", 1, 8, 8),
        outputs={"probabilities": ("N", 3), "cam": ("N", 3, 4, 4)},
    )
    spec = {
        "name": name,
        "version": version,
        "description": "Is it bright?",
        "task": "classification",
        "architecture": "tiny",
        "input": {"channels": 1, "size": (8, 8), "smallest_image": 4, "steps": TO_UNIT},
        "classes": [{"label": "dark", "name": "Dark"}, {"label": "bright"}, {"label": "neither", "threshold": 0.2}],
        "activation": "softmax",
        "outputs": [PROBABILITIES, CAM | {"size": (4, 4), "origin": 0.5, "stride": 2}],
        "receptive_field": 2,
        "stride": 2,
        **fields,
    }
    return write_package(root, spec, weights, ramp(1, 8))


def brightness_of(m: float) -> dict[str, float]:
    """What tiny.brightness must answer for an image of mean m in [0, 1]."""
    logits = {"dark": 2 - 4 * m, "bright": 4 * m - 2, "neither": -1.0}
    total = sum(map(math.exp, logits.values()))
    return {label: math.exp(logit) / total for label, logit in logits.items()}


def corners(root: Path, *, name: str = "corners", version: str = "1.0", **fields: Any) -> Package:
    """A classifier of 8 x 8 grey images: softmax(0, mean of a layer that keeps each 2 x 2 block's top left pixel).

    The layer's units see one pixel each, and stand unevenly in the image: at 0, 2, 4 and 6 of 8.
    """
    weights = graph(
        [
            helper.make_node("MaxPool", ["x"], ["tap_corners"], kernel_shape=[1, 1], strides=[2, 2]),
            helper.make_node("Conv", ["tap_corners", "weight"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={"weight": np.stack([np.zeros((1, 4, 4)), np.full((1, 4, 4), 1 / 16)])},
        inputs=("N", 1, 8, 8),
        outputs={"probabilities": ("N", 2), "tap_corners": ("N", 1, 4, 4)},
    )
    spec = {
        "name": name,
        "version": version,
        "description": "Are its corners bright?",
        "task": "classification",
        "architecture": "tiny",
        "input": {"channels": 1, "size": (8, 8), "smallest_image": 4, "steps": TO_UNIT},
        "classes": [{"label": "dark"}, {"label": "bright"}],
        "activation": "softmax",
        "outputs": [PROBABILITIES, tap("corners", size=(1, 4, 4), receptive_field=1, origin=0.0, stride=2)],
        "receptive_field": 1,
        "stride": 2,
        **fields,
    }
    return write_package(root, spec, weights, ramp(1, 8))


def bases(root: Path, *, name: str = "bases", version: str = "1.0", **fields: Any) -> Package:
    """A classifier of sequences of 8 letters of "acgt": the logits are (0, 8 g - 4) with g the share of c and g.

    cam (N, 2, 1, 4) is 0 and 8 times the share of c and g in each pair of letters.
    """
    weights = graph(
        [
            helper.make_node("AveragePool", ["x"], ["pairs"], kernel_shape=[1, 2], strides=[1, 2]),
            helper.make_node("Conv", ["pairs", "weight"], ["cam"]),
            helper.make_node("ReduceMean", ["cam"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("Add", ["means", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={"weight": np.array([[0, 0, 0, 0], [0, 8, 8, 0]]).reshape(2, 4, 1, 1), "bias": np.array([0, -4])},
        inputs=("N", 4, 1, 8),
        outputs={"probabilities": ("N", 2), "cam": ("N", 2, 1, 4)},
    )
    spec = {
        "name": name,
        "version": version,
        "description": "Rich in c and g?",
        "task": "classification",
        "architecture": "tiny",
        "input": {
            "kind": "signal", "channels": 4, "letters": "acgt", "size": (1, 8), "steps": [{"id": "ensure_dtype"}]
        },
        "classes": [{"label": "poor"}, {"label": "rich"}],
        "activation": "softmax",
        "outputs": [PROBABILITIES, CAM | {"size": (1, 4), "origin": 0.5, "stride": 2}],
        "receptive_field": 2,
        "stride": 2,
        **fields,
    }  # fmt: skip
    test_input = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 1, 1, 2, 0]].T[None, :, None]  # acgtccga
    return write_package(root, spec, weights, test_input)


def blobs(root: Path, *, name: str = "blobs", version: str = "1.0", **fields: Any) -> Package:
    """A segmenter of grey images of any size: "blob" from intensity 128 on, its core (the seeds) from 192 on.

    Both are sigmoid(intensity - 127.5 or 191.5). The size must be a multiple of 4.
    """
    weights = graph(
        [
            helper.make_node("Conv", ["x", "weight", "bias"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        ],
        constants={"weight": np.ones((2, 1, 1, 1)), "bias": np.array([-127.5, -191.5])},
        inputs=("N", 1, "H", "W"),
        outputs={"probabilities": ("N", 2, "H", "W")},
    )
    spec = {
        "name": name,
        "version": version,
        "description": "Bright blobs.",
        "task": "segmentation",
        "architecture": "tiny",
        "input": {"channels": 1, "min_size": 4, "step": 4, "smallest_image": 4, "steps": [{"id": "ensure_dtype"}]},
        "classes": [{"label": "blob", "name": "Blob", "colour": "#ff0000"}],
        "auxiliary": ["core"],
        "activation": "sigmoid",
        "objects": {"foreground": "blob", "seeds": "core", "seed_threshold": 0.5, "min_area_px": 2},
        "receptive_field": 1,
        "stride": 1,
        **fields,
    }
    return write_package(root, spec, weights, ramp(1, 8))


def tissue(root: Path, *, name: str = "tissue", version: str = "1.0", **fields: Any) -> Package:
    """A segmenter of colour images with softmax(100, red, green) and no separation of objects.

    A pixel is red or green where that channel is above 100 and the larger, else background.
    """
    weights = graph(
        [
            helper.make_node("Conv", ["x", "weight", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={
            "weight": np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]).reshape(3, 3, 1, 1),
            "bias": np.array([100.0, 0.0, 0.0]),
        },
        inputs=("N", 3, "H", "W"),
        outputs={"probabilities": ("N", 3, "H", "W")},
    )
    spec = {
        "name": name,
        "version": version,
        "description": "Red or green.",
        "task": "segmentation",
        "architecture": "tiny",
        "input": {"channels": 3, "steps": [{"id": "ensure_dtype"}]},
        "classes": [
            {"label": "background"},
            {"label": "red", "colour": "#ff0000"},
            {"label": "green", "colour": "#00ff00"},
        ],
        "activation": "softmax",
        "receptive_field": 1,
        "stride": 1,
        **fields,
    }
    return write_package(root, spec, weights, ramp(3, 8))


def stains(root: Path, *, name: str = "stains", version: str = "1.0", **fields: Any) -> Package:
    """A segmenter of colour images with classes that overlap: "red" and "green", each where its channel is 100 or more.

    Their probabilities are sigmoid(channel - 99.5).
    """
    weights = graph(
        [
            helper.make_node("Conv", ["x", "weight", "bias"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        ],
        constants={
            "weight": np.array([[1, 0, 0], [0, 1, 0]]).reshape(2, 3, 1, 1),
            "bias": np.array([-99.5, -99.5]),
        },
        inputs=("N", 3, "H", "W"),
        outputs={"probabilities": ("N", 2, "H", "W")},
    )
    spec = {
        "name": name,
        "version": version,
        "description": "Red, green, or both.",
        "task": "segmentation",
        "architecture": "tiny",
        "input": {"channels": 3, "steps": [{"id": "ensure_dtype"}]},
        "classes": [{"label": "red", "colour": "#ff0000"}, {"label": "green", "colour": "#00ff00"}],
        "activation": "sigmoid",
        "receptive_field": 1,
        "stride": 1,
        **fields,
    }
    return write_package(root, spec, weights, ramp(3, 8))
