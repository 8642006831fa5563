"""Tests of a model's spec: what it derives from its fields, and fields that contradict one another."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from models.spec import InputSpec, ModelSpec
from tests.models.tiny_descriptions import classifier_fields, segmenter_fields, signal_fields, valid_segmenter_fields
from tests.models.tiny_packages import contents
from tests.package_parts import spec_of


def test_shapes_follow_from_roles() -> None:
    spec = spec_of(**contents("tapped")["fields"])
    assert [spec.output_shape(name, (16, 16)) for name in spec.every_output] == [(3,), (3, 5, 5), (3, 5, 5), (4, 5, 5)]
    assert spec_of(**segmenter_fields()).output_shape("probabilities", (16, 32)) == (2, 16, 32)


def test_float32_is_the_default() -> None:
    assert ModelSpec.model_fields["precision"].default == "float32"


@pytest.mark.parametrize(
    ("fields", "channels", "overlap"),
    [
        (classifier_fields(), ("normal", "viral pneumonia", "bacterial"), False),  # softmax: one class alone
        (classifier_fields() | {"activation": "sigmoid"}, ("normal", "viral pneumonia", "bacterial"), True),
        (segmenter_fields(), ("nucleus", "seed"), False),  # the seeds are no class
        (  # objects are separated, so each pixel is of one
            segmenter_fields() | {"classes": [{"label": "nucleus"}, {"label": "cell"}]},
            ("nucleus", "cell", "seed"),
            False,
        ),
        (valid_segmenter_fields(), ("background", "membrane", "synapse"), False),
    ],
)
def test_channels_are_classes_and_then_auxiliary_ones(
    fields: dict[str, Any], channels: tuple[str, ...], overlap: bool
) -> None:
    spec = spec_of(**fields)
    assert (spec.channel_names, spec.classes_overlap) == (channels, overlap)


def test_valid_convolutions_lose_their_border_on_both_sides() -> None:
    assert spec_of(**valid_segmenter_fields()).output_shape("probabilities", (16, 32)) == (3, 14, 30)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"channels": 2}, "an image has 1 or 3 channels and no letters; here are 2, ''"),
        ({"letters": "a"}, "an image has 1 or 3 channels and no letters; here are 1, 'a'"),
        ({"kind": "signal"}, "a signal's size is (1, samples), not None"),
        ({"kind": "signal", "size": (2, 8)}, "a signal's size is (1, samples), not (2, 8)"),
        ({"kind": "signal", "size": (1, 8), "channels": 2, "letters": "acg"}, "'acg' are not 2 different ones"),
        ({"kind": "signal", "size": (1, 8), "channels": 2, "letters": "aa"}, "'aa' are not 2 different ones"),
        ({"channels": 65}, "less than or equal to 64"),
        ({"min_size": 2**40}, "less than or equal to 4096"),
    ],
)
def test_an_input_that_no_kind_has_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        InputSpec.model_validate({"channels": 1, "steps": []} | changes)


@pytest.mark.parametrize(
    ("fields", "changes", "says"),
    [
        (classifier_fields(), {"input": {"channels": 1, "steps": []}, "outputs": None}, "needs a fixed input size"),
        (classifier_fields(), {"classes": [{"label": "a"}, {"label": "a"}]}, "('a', 'a') are not all different"),
        (classifier_fields(), {"classes": [{"label": "a", "parent": "b"}]}, "['b'] are no labels of this model"),
        (segmenter_fields(), {"objects": segmenter_fields()["objects"] | {"foreground": "cell"}}, "['cell'] are no"),
        (segmenter_fields(), {"nodes": [{"label": "root"}]}, "only the classes of a softmax classifier"),
        (signal_fields(), {"temperature": 0}, "greater than 0"),
        (signal_fields(), {"name": "Tiny-signal"}, "should match pattern"),
        (signal_fields(), {"version": "1.2.3.4"}, "should match pattern"),
    ],
)
def test_fields_that_contradict_one_another_are_refused(
    fields: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    values = {name: value for name, value in (fields | changes).items() if value is not None}
    with pytest.raises(ValidationError, match=re.escape(says)):
        spec_of(**values)
