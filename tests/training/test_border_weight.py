"""U-Net's weight map against its formula, every distance measured to every pixel."""

import numpy as np
import pytest

from models.image import Array
from training.border_weight import border_weight


def direct(cells: Array, *, w0: float, sigma_px: float) -> Array:
    """Equation 2 of Ronneberger 2015 as it is written, without w_c."""
    weight = np.zeros(cells.shape)
    numbers = [n for n in np.unique(cells) if n]
    for place in np.argwhere(cells == 0):
        distances = sorted(np.hypot(*(np.argwhere(cells == n) - place).T).min() for n in numbers)
        if len(distances) > 1:
            weight[tuple(place)] = w0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma_px**2))
    return weight


def three_cells() -> Array:
    cells = np.zeros((40, 36), np.int32)
    cells[3:15, 4:12], cells[3:14, 15:30], cells[30:38, 6:33] = 1, 2, 3
    return cells


@pytest.mark.parametrize(("w0", "sigma_px"), [(10.0, 5.0), (3.0, 1.5)])
def test_it_is_the_formula(w0: float, sigma_px: float) -> None:
    cells = three_cells()
    np.testing.assert_allclose(
        border_weight(cells, w0=w0, sigma_px=sigma_px), direct(cells, w0=w0, sigma_px=sigma_px), atol=1e-3, rtol=1e-5
    )


def test_between_two_cells_it_is_greatest() -> None:
    """Cells 3 px apart: the middle pixel between them is 2 px from either, 10 exp(-16 / 50) = 7.26."""
    weight = border_weight(three_cells())
    assert weight[8, 13] == pytest.approx(7.2615, abs=1e-3)
    assert weight.max() == weight[8, 13]


@pytest.mark.parametrize("cells", [np.zeros((8, 8), np.int32), np.eye(8, dtype=np.int32)[:1]], ids=["none", "one"])
def test_without_a_second_cell_there_is_no_border(cells: Array) -> None:
    assert not border_weight(cells).any()
