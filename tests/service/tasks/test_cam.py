"""Activation maps: which class, which size, which sign."""

from typing import Any

import numpy as np
import pytest

from models.spec import ModelSpec
from service.errors import NoMap, UnknownLabel, UnknownMethod
from service.tasks import cam
from service.tasks.cam import ClassMap, index_of, positive_part
from tests import package_parts
from tests.package_parts import spec_of

GRID = {"size": (2, 2), "origin": 1.5, "stride": 4}


def spec_with(*maps: dict[str, Any]) -> ModelSpec:
    return spec_of(
        task="classification", stride=1, input={"channels": 1, "size": (8, 8), "steps": []},
        classes=[{"label": "a"}, {"label": "b"}], outputs=[package_parts.PROBABILITIES, *maps],
    )  # fmt: skip


SPEC = spec_with(package_parts.CAM | GRID)
OUTPUTS = {
    "probabilities": np.array([0.3, 0.7], np.float32),
    "cam": np.stack([np.full((2, 2), -1.0), np.array([[0.0, 2.0], [4.0, 6.0]])]).astype(np.float32),
}


def test_the_most_probable_class_is_one_of_the_models_own() -> None:
    assert cam.most_probable(np.array([0.3, 0.7, 0.9]), SPEC) == 1  # the third is an auxiliary channel


def values_of(method: str) -> np.ndarray:
    assert SPEC.cam is not None
    return cam.class_map(OUTPUTS, SPEC, index=1, method=method).values


def test_both_gradient_methods_of_a_pooled_map_are_the_map_over_its_places() -> None:
    assert values_of("cam").tolist() == [[0, 2], [4, 6]]
    assert values_of("gradcam").tolist() == values_of("hirescam").tolist() == [[0, 0.5], [1, 1.5]]


def test_a_gradient_map_has_no_cam_and_may_have_hirescam() -> None:
    spec = spec_with(package_parts.CAM | GRID | {"method": "gradcam"}, package_parts.HIRESCAM | GRID)
    assert spec.cam is not None
    outputs = OUTPUTS | {"hirescam": OUTPUTS["cam"] * 2}
    assert list(spec.cam.methods) == ["gradcam", "hirescam"]
    assert cam.class_map(outputs, spec, index=1, method="gradcam").values.tolist() == [[0, 2], [4, 6]]
    assert cam.class_map(outputs, spec, index=1, method="hirescam").values.tolist() == [[0, 4], [8, 12]]


@pytest.mark.parametrize(("method", "expected"), [(None, "cam"), ("occlusion", "occlusion"), ("hirescam", "hirescam")])
def test_the_method_is_the_packages_own_unless_told(method: str | None, expected: str) -> None:
    assert cam.method_of(method, SPEC) == expected


def test_a_method_that_a_package_has_not_is_refused_with_those_it_has() -> None:
    dense = spec_with(package_parts.CAM | GRID | {"method": "gradcam"})
    with pytest.raises(UnknownMethod, match="method=cam; it supports 'gradcam', 'occlusion'"):
        cam.method_of("cam", dense)
    plain = spec_with()
    with pytest.raises(NoMap, match="use method=occlusion"):
        cam.method_of(None, plain)
    assert cam.method_of("occlusion", plain) == "occlusion"


def resampled(values: np.ndarray, *, origin: float, stride: float, size: tuple[int, int]) -> np.ndarray:
    return cam.resample(ClassMap(values.astype(np.float32), origin, stride, 0, 1.0), SPEC, size=size)


def test_the_map_is_enlarged_bilinearly_between_the_centres_of_what_its_pixels_see() -> None:
    values = resampled(OUTPUTS["cam"][1], origin=1.5, stride=4, size=(8, 8))
    assert values.dtype == np.float32
    assert values[0].tolist() == [0, 0, 0.25, 0.75, 1.25, 1.75, 2, 2]  # centres at 1.5 and 5.5
    assert values[:, 0].tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]


@pytest.mark.parametrize(
    ("origin", "stride", "centres"), [(0.0, 4.0, (0, 16)), (2.0, 3.0, (8, 20)), (1.5, 4.0, (6, 22))]
)
def test_a_peak_stays_where_the_network_saw_it(origin: float, stride: float, centres: tuple[int, int]) -> None:
    """The image is four times the network's input: input pixel p covers the image's 4 p to 4 p + 3."""
    values = resampled(np.array([[0.0, 1.0], [0.0, 1.0]]), origin=origin, stride=stride, size=(32, 32))[0]
    middle = np.interp(0.5, values, np.arange(32))  # halfway between the two centres
    assert middle == pytest.approx(sum(centres) / 2 + 1.5)


def test_an_unknown_label_is_told_before_anything_is_decoded() -> None:
    with pytest.raises(UnknownLabel, match="'a', 'b'"):
        index_of("c", SPEC)


@pytest.mark.parametrize(
    ("values", "expected"), [([-2.0, 0.0, 1.0, 4.0], [0, 0, 0.25, 1]), ([-3.0, -1.0], [0, 0]), ([0.0, 0.0], [0, 0])]
)
def test_the_positive_part_is_scaled_to_its_maximum(values: list[float], expected: list[float]) -> None:
    assert positive_part(np.array([values], np.float32))[0].tolist() == expected
