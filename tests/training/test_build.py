"""Tests of the networks of a recipe: normalisation, outputs and their names, and recipes that make none."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.build import Exported, Normalised, SignedRoot, build, geometry_of
from training.config import InputConfig, NetworkConfig, read_recipe
from training.user_errors import RecipeError

DIGITS = read_recipe(Path("training/recipes/digits.toml"))
UNET = NetworkConfig(name="unet", options={"depth": 2, "base_width": 2})
NUCLEI = read_recipe(Path("training/recipes/nuclei.toml")).model_copy(update={"network": UNET})


@pytest.mark.parametrize(("name", "kind"), [("cnn1d", "image"), ("resnet18", "signal"), ("unet3d", "image")])
def test_a_network_of_other_axes_than_the_input_is_refused(name: str, kind: str) -> None:
    recipe = read_recipe(Path("training/recipes/heartbeats.toml"))
    changed = recipe.model_copy(
        update={
            "input": recipe.input.model_copy(update={"kind": kind}),
            "network": recipe.network.model_copy(update={"name": name, "options": {}}),
        }
    )
    with pytest.raises(ValueError, match=f"{name} is a network of . axes; input.kind is '{kind}'"):
        build(changed, classes=2)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("lenet6", {}, "no architecture 'lenet6'; there are .*'lenet5'"),
        ("resnet18", {"widht": 8}, "options: .*'widht'"),
    ],
)
def test_an_unknown_network_or_option_is_refused(name: str, options: dict[str, Any], says: str) -> None:
    recipe = DIGITS.model_copy(update={"network": NetworkConfig(name=name, options=options)})
    with pytest.raises(RecipeError, match=says):
        build(recipe, classes=10)


def test_a_network_has_an_output_a_class_and_an_auxiliary_channel() -> None:
    """Of nuclei: the nucleus and its core."""
    assert build(DIGITS, classes=10)(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    assert build(NUCLEI, classes=1)(torch.zeros(1, 3, 16, 16)).shape == (1, 2, 16, 16)


def test_geometry_is_of_a_classifiers_features_or_of_all_of_a_segmenter() -> None:
    found = geometry_of(DIGITS, build(DIGITS, classes=10))
    assert (found.stride, found.receptive_field, found.min_size) == (4, 16, 32)  # LeNet-5 by hand
    assert geometry_of(NUCLEI, build(NUCLEI, classes=1)).stride == 4  # two poolings


def test_a_signed_root_keeps_the_sign() -> None:
    assert SignedRoot()(torch.tensor([-4.0, 0.0, 9.0])).tolist() == [-2, 0, 3]


@pytest.mark.parametrize(("root", "wanted"), [(False, [4.0, -9.0]), (True, [2.0, -3.0])])
def test_each_channel_is_normalised_and_then_its_root_taken(root: bool, wanted: list[float]) -> None:
    config = InputConfig(channels=2, size=(1, 1), steps=(), mean=(2.0, 10.0), std=(2.0, 1.0), root=root)
    network = Normalised(nn.Flatten(), config)
    assert network(torch.tensor([[[[10.0]], [[1.0]]]])).tolist() == [wanted]
    assert network.state_dict() == {}  # a checkpoint has the body's weights alone


def test_half_precision_is_of_the_body_alone() -> None:
    """70,000 is beyond half precision, but normalised to 1."""
    config = InputConfig(channels=1, size=(1, 1), steps=(), mean=(60_000.0,), std=(10_000.0,))
    network = Normalised(nn.Conv2d(1, 1, 1), config).half()
    assert next(network.body.parameters()).dtype == torch.float16
    normalised = network.normalise(torch.full((1, 1, 1, 1), 70_000.0))
    assert (normalised.dtype, normalised.item()) == (torch.float16, 1.0)


class Means(nn.Module):
    """Logits are the means of the input's channels, and their maps the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cam = self.features(x)
        return cam.mean(dim=(2, 3)), cam


def exported(body: nn.Module, **options: Any) -> Exported:
    config = InputConfig(channels=2, size=(1, 2), steps=())
    return Exported(Normalised(body, config), **{"activation": "softmax", "temperature": 1.0} | options)


def test_a_classifiers_outputs_are_probabilities_maps_and_taps() -> None:
    """Means of 1 and 3: at temperature 2 and with log 2 for the first, the odds are e : 2."""
    network = exported(Means(), temperature=2.0, bias=(math.log(2), 0.0), taps=("features",))
    assert (network.roles, network.output_names) == (("probabilities", "cam"), ("probabilities", "cam", "tap_features"))
    x = torch.tensor([[[[0.0, 2.0]], [[3.0, 3.0]]]])
    probabilities, cam, features = network(x)
    torch.testing.assert_close(probabilities, torch.tensor([[2.0, math.e]]) / (2 + math.e))
    torch.testing.assert_close(cam, x)
    torch.testing.assert_close(features, x)


def test_a_segmenter_gives_probabilities_alone() -> None:
    network = exported(nn.Identity(), activation="sigmoid")
    assert (network.roles, network.output_names) == (("probabilities",), ("probabilities",))
    (probabilities,) = network(torch.full((1, 2, 1, 2), math.log(3)))
    torch.testing.assert_close(probabilities, torch.full((1, 2, 1, 2), 0.75))


def test_a_tap_of_no_layer_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"no layer 'feature'; its first layers are \['features'\]"):
        exported(Means(), taps=("feature",))
