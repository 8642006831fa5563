"""Tests of the geometry that is computed from an ONNX segmenter."""

from pathlib import Path

import onnx
import pytest

from models import package
from models.geometry import Geometry
from service.manage.graph_geometry import NotLocal, of_segmenter
from tests.service.manage import foreign

ROOT = Path(__file__).parents[3]


def test_geometry_equals_that_of_the_training() -> None:
    spec = package.read(ROOT / "models/starter/nuclei/1.0.0").spec
    found = of_segmenter(onnx.load(ROOT / "models/starter/nuclei/1.0.0/model.onnx"))
    assert found == Geometry(
        spec.stride, spec.receptive_field, spec.halo, spec.border, spec.input.min_size, spec.input.step
    )


def test_a_network_with_a_global_receptive_field_has_no_geometry() -> None:
    with pytest.raises(NotLocal, match="GlobalAveragePool"):
        of_segmenter(onnx.load_model_from_string(foreign.whole_image()))
