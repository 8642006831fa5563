"""U-Net's weight map: pixels between close cells count more in the loss (Ronneberger 2015, equation 2)."""

import math

import numpy as np
from scipy import ndimage

from models.image import Array

NEGLIGIBLE = 1e-3  # smaller weights become 0, so distances are needed only near cells


def border_weight(cells: Array, *, w0: float = 10.0, sigma_px: float = 5.0) -> Array:
    """Returns w0 exp(-(d1 + d2)^2 / (2 sigma^2)) between cells, 0 inside: (H, W) cell numbers -> (H, W) float32.

    d1, d2: distances in px to the nearest and second nearest cell. The paper's map is this plus the class weight w_c.
    """
    reach = math.ceil(sigma_px * math.sqrt(2 * math.log(w0 / NEGLIGIBLE)))
    d1, d2 = (np.full(cells.shape, np.inf, np.float32) for _ in range(2))
    for number, box in enumerate(ndimage.find_objects(cells), start=1):
        if box is not None:
            near = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
            distance = ndimage.distance_transform_edt(cells[near] != number).astype(np.float32)
            d2[near] = np.minimum(d2[near], np.maximum(d1[near], distance))
            d1[near] = np.minimum(d1[near], distance)
    weight = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma_px**2))
    return np.where((cells > 0) | (weight < NEGLIGIBLE), 0, weight).astype(np.float32)
