"""Plots of the evaluation report: order, titles and brightness of masks and images."""

import numpy as np
import pytest

from training.report_plots import RankedMask, displayable, rank_classes, rank_objects

TRUTH = np.zeros((8, 8), np.int32)
TRUTH[:2, :2], TRUTH[5:, 5:] = 1, 7  # two objects, numbered with a gap; or two classes


@pytest.mark.parametrize(
    ("ranked", "wanted"),
    [
        (rank_objects(TRUTH, TRUTH), ((1.0, 1.0), "truth: 2 objects", "prediction: 2, AP 1.00, Dice 1.00")),
        (rank_objects(TRUTH * 0, TRUTH), ((0.0, 0.0), "truth: 2 objects", "prediction: 0, AP 0.00, Dice 0.00")),
        (rank_classes(TRUTH, TRUTH), ((1.0,), "truth", "prediction, foreground Dice 1.00")),
    ],
    ids=["right", "nothing", "classes"],
)
def test_titles_count_objects_and_not_classes(ranked: RankedMask, wanted: RankedMask) -> None:
    assert ranked == wanted


def test_a_picture_of_any_range_is_neither_black_nor_white() -> None:
    """Of inputs with mean 0 half would be black, were they shown as they are."""
    picture = displayable(np.linspace(-3, 3, 300, dtype=np.float32).reshape(3, 10, 10))
    assert picture.shape == (10, 10, 3)
    assert (picture.min(), picture.max()) == (0, 1)
    assert np.mean((picture > 0) & (picture < 1)) > 0.97
    assert displayable(np.zeros((1, 4, 5), np.float32)).shape == (4, 5)
