"""Activation maps: which class, which size, which sign."""

import numpy as np
import pytest

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


def test_enlarging_keeps_corners_and_mean() -> None:
    values = activation_map(OUTPUTS, SPEC, label="b", size=(8, 8)).values
    assert (values[0, 0], values[0, -1], values[-1, 0], values[-1, -1]) == (0, 2, 4, 6)
    assert values.mean() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("origin", "stride", "size", "wanted"),
    [
        (0.0, 4, (8, 8), [0, 1, 2, 3, 4, 4, 4, 4]),  # centred on pixels 0 and 4, and level beyond
        (1.5, 4, (8, 8), [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]),  # as if stretched
        (0.0, 4, (4, 8), [0.5, 2.5, 4, 4]),  # an image of half the height: its pixel 0 is between 0 and 1
    ],
)
def test_a_map_is_laid_where_its_receptive_fields_are(
    origin: float, stride: float, size: tuple[int, int], wanted: list[float]
) -> None:
    cam = {"method": "cam", "size": (2, 2), "origin": origin, "stride": stride}
    spec = spec_of(task="classification", stride=1, input={"channels": 1, "size": (8, 8), "steps": []}, cam=cam)
    values = laid_over(np.array([[0.0, 0.0], [4.0, 4.0]], np.float32), spec, size=size)
    assert values[:, 0].tolist() == pytest.approx(wanted)
    assert (values == values[:, :1]).all()


def test_an_unknown_label_is_told_before_anything_is_decoded() -> None:
    with pytest.raises(UnknownLabel, match="'a', 'b'"):
        place_of("c", SPEC)


@pytest.mark.parametrize(
    ("values", "expected"), [([-2.0, 0.0, 1.0, 4.0], [0, 0, 0.25, 1]), ([-3.0, -1.0], [0, 0]), ([0.0, 0.0], [0, 0])]
)
def test_the_positive_part_is_scaled_to_its_maximum(values: list[float], expected: list[float]) -> None:
    assert positive_part(np.array([values], np.float32))[0].tolist() == expected
