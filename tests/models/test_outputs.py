"""Roles of a network's outputs: found by role, described consistently, or refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from models.errors import PackageError
from models.outputs import graph_name, is_tap
from models.spec import ModelSpec
from tests.models.tiny_descriptions import classifier_fields
from tests.package_parts import CAM, HIRESCAM, PROBABILITIES, PROBABILITY_MAPS, spec_of, tap

GRID = {"size": (5, 5), "stride": 4}
FEATURES = {"size": (4, 5, 5), "receptive_field": 3, "stride": 3}


def classifier(*outputs: dict[str, Any]) -> ModelSpec:
    return spec_of(**classifier_fields() | {"outputs": list(outputs)})


def test_a_role_finds_the_name_that_the_graph_has() -> None:
    spec = classifier(PROBABILITIES | {"name": "scores"}, CAM | GRID | {"name": "heat"}, tap("a.b", **FEATURES))
    assert (spec.names["probabilities"], spec.names["cam"]) == ("scores", "heat")
    assert [spec.has(role) for role in ("probabilities", "cam", "hirescam", "features")] == [True, True, False, True]
    assert (spec.output_names, spec.every_output) == (("scores", "heat"), ("scores", "heat", "tap_a_b"))
    assert [(each.layer, each.name, each.size) for each in spec.taps] == [("a.b", "tap_a_b", (4, 5, 5))]
    assert spec.cam is not None
    assert spec.cam.methods == {"cam": ("heat", 1.0), "gradcam": ("heat", 1 / 25), "hirescam": ("heat", 1 / 25)}


def test_gradient_weighted_maps_are_what_they_are() -> None:
    spec = classifier(PROBABILITIES, CAM | GRID | {"method": "gradcam"}, HIRESCAM | GRID)
    assert spec.cam is not None
    assert spec.cam.methods == {"gradcam": ("cam", 1.0), "hirescam": ("hirescam", 1.0)}


@pytest.mark.parametrize("role", ["cam", "hirescam", "features"])
def test_a_role_that_no_output_has_is_an_error_that_names_those_there_are(role: Any) -> None:
    with pytest.raises(PackageError, match=f"no output with the role '{role}' alone; it has probabilities"):
        classifier(PROBABILITIES).names[role]
    assert classifier(PROBABILITIES).cam is None


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([], "at least 1 item"),
        ([CAM | GRID], "needs an output with the role 'probabilities'"),
        ([PROBABILITIES, PROBABILITIES], "names and roles of their own"),
        ([PROBABILITIES, PROBABILITIES | {"name": "others"}], "names and roles of their own"),
        ([PROBABILITIES, tap("a", **FEATURES), tap("a", **FEATURES)], "names and roles of their own"),
        ([PROBABILITIES, HIRESCAM | GRID], "needs one with the role 'cam'"),
        ([PROBABILITIES, CAM | GRID, HIRESCAM | GRID | {"size": (6, 6)}], "of the same size and place"),
        ([PROBABILITIES, CAM | GRID | {"method": "hirescam"}], "cannot hold maps of the method 'hirescam'"),
        ([PROBABILITY_MAPS], "axes of the output 'probabilities' are NCYX, not NC"),
        ([PROBABILITIES, CAM | GRID | {"axes": "NC"}], "axes of the output 'cam' are NC, not NCYX"),
        ([PROBABILITIES | {"axes": "CN"}], "axes"),
        ([PROBABILITIES | {"role": "masks"}], "role"),
        ([PROBABILITIES, tap("a", **FEATURES) | {"name": "a"}], "name"),
        ([PROBABILITIES | {"stride": 4}], "stride"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(outputs: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        classifier(*outputs)


def test_the_graphs_that_we_write_name_outputs_by_role() -> None:
    assert [graph_name("cam"), graph_name("features", "layer1.0")] == ["cam", "tap_layer1_0"]
    assert [is_tap("cam"), is_tap("tap_layer1_0")] == [False, True]
