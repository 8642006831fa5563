"""Tests of the models to evaluate: a checkpoint and a package answer as the service does, with the same decisions."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.flips import Flip
from models.image import Array
from tests import tiny
from training import checkpoint
from training.build import build
from training.config import NetworkConfig, read_recipe
from training.evaluated_model import average_over_flips, model_from_checkpoint, model_from_package, restore

DIGITS = read_recipe(Path("training/recipes/digits.toml"))
NUCLEI = read_recipe(Path("training/recipes/nuclei.toml")).model_copy(
    update={"network": NetworkConfig(name="unet", options={"depth": 2, "base_width": 2})}
)
X = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)


def top_left(x: Array) -> Array:
    return x[:, 0, 0]


def ramp(x: Array) -> Array:
    """Adds 0, 1, ... from left to right: not the same for a mirrored image."""
    return x + np.arange(x.shape[2])


@pytest.mark.parametrize(
    ("flips", "corner", "added"),
    [
        ((), 1, [0, 1]),
        (("horizontal",), 1.5, [0.5, 0.5]),
        (("vertical",), 2, [0, 1]),
        (("horizontal", "vertical"), 2.5, [0.5, 0.5]),
    ],
)
def test_answers_are_means_over_flips_and_maps_are_mirrored_back(
    flips: tuple[Flip, ...], corner: float, added: list[float]
) -> None:
    assert average_over_flips(top_left, flips)(X).tolist() == [corner]
    np.testing.assert_allclose(average_over_flips(ramp, flips)(X), X + np.array(added))


def test_a_checkpoints_network_has_its_weights_and_does_not_learn() -> None:
    network = build(DIGITS, classes=3)
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.125)
    restored = restore({"classes": ["a", "b", "c"], "weights": network.body.state_dict()}, DIGITS)
    assert all((parameter == 0.125).all() for parameter in restored.parameters())
    assert not any(module.training for module in restored.modules())


def test_a_classifiers_checkpoint_is_calibrated(tmp_path: Path) -> None:
    """Weights of 0, so the logits are the last bias: log 9 and 0, at temperature 2 with log 2 for the second: 3 : 2."""
    network = build(DIGITS, classes=2)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    network.body.fc3.bias.data[0] = math.log(9)  # type: ignore[union-attr]
    decision = {"thresholds": (0.4, 0.6), "temperature": 2.0, "bias": (0.0, math.log(2))}
    state = {"recipe": DIGITS.model_dump(mode="json"), "decision": decision, "classes": ["a", "b"]}
    checkpoint.save(tmp_path, checkpoint.BEST, state | {"weights": network.body.state_dict(), "split_sha256": "ab"})
    model, recipe = model_from_checkpoint(tmp_path / checkpoint.BEST, device=torch.device("cpu"))
    np.testing.assert_allclose(model.probabilities(np.zeros((1, 32, 32), np.float32)), [0.6, 0.4], rtol=1e-5)
    assert (model.decision.thresholds, model.split_sha256, recipe) == ((0.4, 0.6), "ab", DIGITS)


def test_a_segmenters_checkpoint_takes_any_size(tmp_path: Path) -> None:
    network = build(NUCLEI, classes=1)
    geometry = {"stride": 4, "receptive_field": 44, "halo": 20, "border": 0, "min_size": 4, "step": 4}
    state = {"recipe": NUCLEI.model_dump(mode="json"), "decision": {"thresholds": (0.5,)}, "classes": ["nucleus"]}
    state |= {"weights": network.body.state_dict(), "split_sha256": "", "geometry": geometry}
    checkpoint.save(tmp_path, checkpoint.BEST, state)
    model, _ = model_from_checkpoint(tmp_path / checkpoint.BEST, device=torch.device("cpu"))
    x = np.random.default_rng(0).normal(size=(3, 8, 12)).astype(np.float32)
    with torch.no_grad():
        wanted = network.eval()(torch.from_numpy(x)[None])[0].sigmoid().numpy()
    np.testing.assert_allclose(model.probabilities(x), wanted, atol=1e-6)
    assert model.probabilities(x[:, :5, :9]).shape == (2, 5, 9)


def test_a_classifiers_package_is_what_its_graph_says(tmp_path: Path) -> None:
    model = model_from_package(tiny.brightness(tmp_path).folder)
    found = model.probabilities(np.full((1, 8, 8), 0.75, np.float32))
    np.testing.assert_allclose(found, list(tiny.brightness_of(0.75).values()), rtol=1e-5)
    assert (model.decision.thresholds, model.split_sha256) == ((0.5, 0.5, 0.2), "")


def test_a_segmenters_package_takes_any_size_and_separates_objects(tmp_path: Path) -> None:
    """Its graph takes multiples of 4; blobs are from 128 on, cores from 192 on."""
    model = model_from_package(tiny.blobs(tmp_path).folder)
    x = np.zeros((1, 5, 7), np.float32)
    x[0, 4, 6], x[0, 0, 0] = 200, 150
    blob, core = model.probabilities(x) >= 0.5
    assert np.argwhere(blob).tolist() == [[0, 0], [4, 6]]
    assert np.argwhere(core).tolist() == [[4, 6]]
    assert blob.shape == (5, 7)
    assert (model.decision.seed_threshold, model.decision.min_area_px) == (0.5, 2)
