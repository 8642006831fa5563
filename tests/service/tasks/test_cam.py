"""Activation maps: which class, which size, which sign."""

import numpy as np
import pytest

from models.spec import CamSpec
from service.errors import UnknownLabel
from service.tasks.cam import activation_map, laid_over, place_of, positive_part
from tests.service.test_tiling import spec_of

SPEC = spec_of(
    task="classification", stride=1, input={"channels": 1, "size": (8, 8), "steps": []},
    classes=[{"label": "a"}, {"label": "b"}], cam={"method": "cam", "size": (2, 2), "origin": 1.5, "stride": 4},
)  # fmt: skip
OUTPUTS = {
    "probabilities": np.array([0.3, 0.7], np.float32),
    "cam": np.stack([np.full((2, 2), -1.0), np.array([[0.0, 2.0], [4.0, 6.0]])]).astype(np.float32),
}


@pytest.mark.parametrize(("label", "expected"), [(None, ("b", 0.7)), ("a", ("a", 0.3)), ("b", ("b", 0.7))])
def test_the_class_is_the_one_asked_for_or_the_most_probable(label: str | None, expected: tuple[str, float]) -> None:
    found = activation_map(OUTPUTS, SPEC, label=label, size=(5, 9))
    assert (found.label, found.probability) == (expected[0], pytest.approx(expected[1]))
    assert found.values.shape == (5, 9)


def test_the_map_is_enlarged_bilinearly_between_the_centres_of_what_its_pixels_see() -> None:
    values = activation_map(OUTPUTS, SPEC, label="b", size=(8, 8)).values
    assert values.dtype == np.float32
    assert values[0].tolist() == [0, 0, 0.25, 0.75, 1.25, 1.75, 2, 2]  # centres at 1.5 and 5.5
    assert values[:, 0].tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]


@pytest.mark.parametrize(
    ("origin", "stride", "centres"), [(0.0, 4.0, (0, 16)), (2.0, 3.0, (8, 20)), (1.5, 4.0, (6, 22))]
)
def test_a_peak_stays_where_the_network_saw_it(origin: float, stride: float, centres: tuple[int, int]) -> None:
    """The image is four times the network's input: input pixel p covers the image's 4 p to 4 p + 3."""
    cam = CamSpec(method="cam", size=(2, 2), origin=origin, stride=stride)
    spec = SPEC.model_copy(update={"cam": cam})
    values = laid_over(np.array([[0.0, 1.0], [0.0, 1.0]], np.float32), spec, size=(32, 32))[0]
    middle = np.interp(0.5, values, np.arange(32))  # halfway between the two centres
    assert middle == pytest.approx(sum(centres) / 2 + 1.5)


def test_an_unknown_label_is_told_before_anything_is_decoded() -> None:
    with pytest.raises(UnknownLabel, match="'a', 'b'"):
        place_of("c", SPEC)


@pytest.mark.parametrize(
    ("values", "expected"), [([-2.0, 0.0, 1.0, 4.0], [0, 0, 0.25, 1]), ([-3.0, -1.0], [0, 0]), ([0.0, 0.0], [0, 0])]
)
def test_the_positive_part_is_scaled_to_its_maximum(values: list[float], expected: list[float]) -> None:
    assert positive_part(np.array([values], np.float32))[0].tolist() == expected
