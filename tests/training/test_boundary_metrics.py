"""The ISBI 2012 figures on drawn membranes, where the answers are known beforehand."""

import numpy as np
import pytest

from models.image import Array
from training.boundary_metrics import pixel_error, simple_points, v_rand, warping_error

SIDE = 30


def two_cells(*, wall: int = 15, thick: int = 2, gap: int = 0) -> Array:
    """(30, 30) bool: two cells left and right of a membrane, which may have a gap of so many px."""
    cells = np.ones((SIDE, SIDE), bool)
    cells[:, wall : wall + thick] = False
    cells[10 : 10 + gap, wall : wall + thick] = True
    return cells


def test_no_error() -> None:
    true = two_cells()
    assert (pixel_error(true, true), v_rand(true, true), warping_error(true, true)) == (0, 1, 0)


def test_a_moved_or_thicker_wall_tells_the_cells_apart() -> None:
    """Only pixels are wrong. A wall that has moved takes some from a true cell, so that V-rand is a little below 1."""
    true = two_cells()
    assert warping_error(two_cells(wall=17), true) == 0
    assert warping_error(two_cells(thick=6), true) == 0
    assert pixel_error(two_cells(thick=6), true) == pytest.approx(4 / 30)
    assert v_rand(two_cells(thick=4), true) == pytest.approx(1)
    assert 0.8 < v_rand(two_cells(wall=17), true) < 1


def test_a_wall_elsewhere_is_another_wall() -> None:
    """Pixels move only where truth and prediction differ (Jain 2010): without a common border no way leads there."""
    assert warping_error(two_cells(wall=20), two_cells()) > 0


def test_a_gap_joins_the_cells() -> None:
    """All pixels are then in one segment: of the pairs that it joins n1^2 + n2^2 of (n1 + n2)^2 are right."""
    true, merged = two_cells(), two_cells(gap=1)
    assert pixel_error(merged, true) == pytest.approx(2 / SIDE**2)
    assert 0 < warping_error(merged, true) <= 2 / SIDE**2
    left, right = 15 * SIDE, 13 * SIDE
    precision = (left**2 + right**2) / (left + right) ** 2
    assert v_rand(merged, true) == pytest.approx(2 * precision / (precision + 1), rel=1e-3)


def test_what_is_made_up_or_lost_is_an_error() -> None:
    true = two_cells()
    spot, hole = true.copy(), true.copy()
    spot[5, 5] = False
    hole[5, 15] = True  # 8-connected membrane stays whole: no cell is joined, so it is an outline
    assert warping_error(spot, true) == pytest.approx(1 / SIDE**2)
    assert warping_error(hole, true) == 0


def test_a_lost_wall_and_nothing_at_all() -> None:
    true = two_cells()
    assert warping_error(np.ones_like(true), true) > 0
    assert v_rand(np.zeros_like(true), true) < 0.7


def test_warping_keeps_the_topology() -> None:
    """Of random blobs: what is left wrong is where the count of cells or of walls differs."""
    rng = np.random.default_rng(0)
    noise = rng.random((SIDE, SIDE)) > 0.4
    assert warping_error(noise, noise) == 0
    assert warping_error(noise, two_cells()) > 0.05


def test_simple_points() -> None:
    """116 of the 256 neighbourhoods of a pixel leave the topology as it is (Kong and Rosenfeld 1989)."""
    assert simple_points().sum() == 116
