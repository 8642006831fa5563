"""Metrics of boundaries between cells, from the ISBI 2012 challenge (Arganda-Carreras 2015).

All take two masks (H, W) bool: True in cells, False on the membrane between them. A cell is 4-connected.
"""

from functools import cache

import numpy as np
from scipy import ndimage
from skimage.metrics import adapted_rand_error
from skimage.segmentation import expand_labels

from models.image import Array

RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))  # around the middle of 3 x 3
QUARTERS = tuple(  # no two pixels of a quarter are neighbours, so all of them can change sides at once
    (slice(1 + row, -1, 2), slice(1 + column, -1, 2)) for row in (0, 1) for column in (0, 1)
)
FOUR_NEIGHBOURS = ((0, 1), (1, 2), (2, 1), (1, 0))


def pixel_error(predicted: Array, true: Array) -> float:
    """Returns the fraction of wrong pixels."""
    return float((predicted != true).mean())


def v_rand(predicted: Array, true: Array) -> float:
    """Returns the foreground-restricted Rand F-score after border thinning; 1 - V-rand is the adapted Rand error.

    It asks of each two pixels in true cells whether the prediction puts them in the same cell. Predicted membranes are
    thinned away first, because a cell that is a little too small is still separated.
    """
    labels, count = ndimage.label(predicted)
    if not true.any():
        return 1.0 if not count else 0.0
    grown = expand_labels(labels, distance=sum(labels.shape))
    return 1 - float(adapted_rand_error(ndimage.label(true)[0], grown, ignore_labels=(0,))[0])


def warping_error(predicted: Array, true: Array) -> float:
    """Returns the fraction of pixels with topological errors: cells split, merged, lost or invented (Jain 2010).

    The truth is warped towards the prediction pixel by pixel without changing its topology; pixels that still differ
    count. As in the paper, the search ends in a local minimum: another order of pixels may leave fewer.
    """
    warped, target = np.pad(true, 1), np.pad(predicted, 1)
    # Membranes grow first: one that had already thinned away could no longer reach its place.
    while _flip_towards(warped, target, to=False) or _flip_towards(warped, target, to=True):
        pass
    return pixel_error(warped[1:-1, 1:-1], predicted)


def _flip_towards(warped: Array, target: Array, *, to: bool) -> bool:
    """Flips all pixels that should become cell (or membrane) and can; returns whether any did."""
    before = warped.copy()
    changed = True
    while changed:
        changed = False
        for rows, columns in QUARTERS:
            flips = (warped != target)[rows, columns] & simple_points()[_neighbour_codes(warped)[rows, columns]]
            flips &= target[rows, columns] == to
            warped[rows, columns] ^= flips
            changed |= bool(flips.any())
    return bool((warped != before).any())


def _neighbour_codes(mask: Array) -> Array:
    """Returns which of each pixel's eight neighbours are set, as bits: (H, W) bool -> (H, W) uint8, 0 at the edge."""
    codes = np.zeros(mask.shape, np.uint8)
    height, width = mask.shape
    for bit, (row, column) in enumerate(RING):
        neighbour = mask[row : height - 2 + row, column : width - 2 + column]
        codes[1:-1, 1:-1] |= neighbour.astype(np.uint8) << np.uint8(bit)
    return codes


@cache
def simple_points() -> Array:
    """Returns (256,) bool by neighbour code: whether flipping the pixel keeps the topology (a simple point).

    It does if the pixel touches one 4-connected piece of cell and one 8-connected piece of membrane (Kong 1989).
    """
    simple = np.zeros(256, bool)
    for code in range(256):
        cell = np.zeros((3, 3), bool)
        for bit, place in enumerate(RING):
            cell[place] = code >> bit & 1
        pieces = ndimage.label(cell)[0]
        touched = {int(pieces[place]) for place in FOUR_NEIGHBOURS} - {0}
        membrane = ~cell
        membrane[1, 1] = False
        simple[code] = len(touched) == 1 and ndimage.label(membrane, np.ones((3, 3)))[1] == 1
    return simple
