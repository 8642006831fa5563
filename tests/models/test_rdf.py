"""A model's description as BioImage.IO's rdf.yaml, and back."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from models import package
from models.rdf import from_rdf, to_rdf
from models.spec import ModelSpec
from tests import package_parts, tiny
from tests.models.tiny_descriptions import everything_fields
from tests.models.tiny_packages import contents
from tests.package_parts import spec_of


def test_every_field_survives_the_description(parts: dict[str, Any], tmp_path: Path) -> None:
    spec = package.write(tmp_path / "1.0", **parts).spec
    assert from_rdf(yaml.safe_load(yaml.safe_dump(to_rdf(spec)))) == spec


def test_the_description_of_everything_leaves_no_field_at_its_default(tmp_path: Path) -> None:
    spec = package.write(tmp_path / "1.0", **contents("everything")).spec
    alone = {"border", "nodes", "filters"}  # a segmenter with objects has none
    assert {name for name, field in ModelSpec.model_fields.items() if getattr(spec, name) == field.default} == alone
    stated = {name for name, value in everything_fields().items() if getattr(spec, name) == value}
    assert {"name", "version", "license", "authors", "cite", "temperature", "pixel_size_um"} <= stated
    assert spec.outputs[0].tolerance == everything_fields()["outputs"][0]["tolerance"]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("normal", "viral pneumonia"), ["normal", "viral_pneumonia"]),
        (("0", "1"), ["_0", "_1"]),
        (("class", "µm"), ["class_", "µm"]),
        (("a b", "a_b"), ["a_b_0", "a_b_1"]),
    ],
)
def test_labels_become_the_names_that_bioimage_io_allows(labels: tuple[str, ...], names: list[str]) -> None:
    fields = everything_fields() | {"classes": [{"label": label} for label in labels], "auxiliary": [], "objects": None}
    spec = spec_of(**fields)
    (channels,) = [axis for axis in to_rdf(spec)["outputs"][0]["axes"] if axis["type"] == "channel"]
    assert channels["channel_names"] == names
    assert from_rdf(to_rdf(spec)).channel_names == labels


def test_a_package_says_its_precision_and_each_outputs_tolerance(tmp_path: Any) -> None:
    cam = package_parts.CAM | {"size": (4, 4), "origin": 0.5, "stride": 2, "tolerance": 0.3}
    outputs = [package_parts.PROBABILITIES | {"tolerance": 0.01}, cam]
    spec = tiny.brightness(tmp_path, precision="half", outputs=outputs).spec
    assert (spec.precision, *(output.tolerance for output in spec.outputs)) == ("half", 0.01, 0.3)
    document = to_rdf(spec)
    assert from_rdf(document) == spec
    assert [
        (*entry["output_ids"], entry["absolute_tolerance"])
        for entry in document["config"]["bioimageio"]["reproducibility_tolerance"]
    ] == [("probabilities", 0.01), ("cam", 0.3)]
