"""How well a boundary tells cells apart: the ISBI 2012 challenge's figures (Arganda-Carreras 2015).

All take two masks (H, W) bool, True in cells and False on the membrane between them; a cell is 4-connected.
"""

from functools import cache

import numpy as np
from scipy import ndimage
from skimage.metrics import adapted_rand_error
from skimage.segmentation import expand_labels

from models.image import Array

RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))  # around the middle of 3 x 3
QUARTERS = tuple(  # of all but the outermost pixels; no two of a quarter are neighbours, so that they can move at once
    (slice(1 + row, -1, 2), slice(1 + column, -1, 2)) for row in (0, 1) for column in (0, 1)
)
BESIDE = ((0, 1), (1, 2), (2, 1), (1, 0))  # those that share a side with it


def pixel_error(predicted: Array, true: Array) -> float:
    """The share of pixels on the wrong side."""
    return float((predicted != true).mean())


def v_rand(predicted: Array, true: Array) -> float:
    """The foreground-restricted Rand F-score after border thinning; 1 - V-rand is the adapted Rand error.

    Of two pixels in true cells: is it told right whether they are in the same one? Predicted membranes are thinned away
    first, since a cell that is a little too small has been told apart all the same.
    """
    labels, count = ndimage.label(predicted)
    if not true.any():
        return 1.0 if not count else 0.0
    grown = expand_labels(labels, distance=sum(labels.shape))
    return 1 - float(adapted_rand_error(ndimage.label(true)[0], grown, ignore_labels=(0,))[0])


def warping_error(predicted: Array, true: Array) -> float:
    """The share of pixels where cells were split, joined, lost or made up, and not only outlined otherwise (Jain 2010).

    The truth is warped towards the prediction, a pixel at a time and never so that its topology changes; where it still
    differs, counts. As in the paper's own search it is a local minimum: another order of the pixels may leave fewer.
    """
    warped, target = np.pad(true, 1), np.pad(predicted, 1)
    # A membrane first grows to where it is wanted: one that had first thinned away from there could no more get there.
    while _moved(warped, target, to=False) or _moved(warped, target, to=True):
        pass
    return pixel_error(warped[1:-1, 1:-1], predicted)


def _moved(warped: Array, target: Array, *, to: bool) -> bool:
    """Has all pixels change sides to cell, or to membrane, that are wanted there and can; whether there were any."""
    before = warped.copy()
    moved = True
    while moved:
        moved = False
        for rows, columns in QUARTERS:
            flips = (warped != target)[rows, columns] & _simple()[_codes(warped)[rows, columns]]
            flips &= target[rows, columns] == to
            warped[rows, columns] ^= flips
            moved |= bool(flips.any())
    return bool((warped != before).any())


def _codes(mask: Array) -> Array:
    """(H, W) bool -> (H, W) uint8: which of a pixel's eight neighbours are set; the outermost pixels' is 0."""
    codes = np.zeros(mask.shape, np.uint8)
    height, width = mask.shape
    for bit, (row, column) in enumerate(RING):
        neighbour = mask[row : height - 2 + row, column : width - 2 + column]
        codes[1:-1, 1:-1] |= neighbour.astype(np.uint8) << np.uint8(bit)
    return codes


@cache
def _simple() -> Array:
    """(256,) bool, by the code of its neighbours: whether a pixel can change sides and the topology stays.

    It can where it touches one 4-connected piece of cell and one 8-connected piece of membrane (Kong 1989).
    """
    simple = np.zeros(256, bool)
    for code in range(256):
        cell = np.zeros((3, 3), bool)
        for bit, place in enumerate(RING):
            cell[place] = code >> bit & 1
        pieces = ndimage.label(cell)[0]
        touched = {int(pieces[place]) for place in BESIDE} - {0}
        membrane = ~cell
        membrane[1, 1] = False
        simple[code] = len(touched) == 1 and ndimage.label(membrane, np.ones((3, 3)))[1] == 1
    return simple
