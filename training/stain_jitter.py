"""Stain augmentation: jitter in haematoxylin-eosin-DAB space (Tellez 2018), because laboratories differ."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable
from skimage.color import hed2rgb, rgb2hed

from models.image import Array

_ABSORBANCE = -np.log(1e-6)  # of a scikit-image density of 1


def jitter(rgb: Array, alpha: Array, beta: Array) -> Array:
    """Changes each stain's density s to alpha s + beta in an image (H, W, 3) in [0, 1]; alpha, beta (3,).

    Densities are absorbances (Ruifrok 2001): a beta of 0.05 removes about 5 % of the light that a stain absorbs most.
    """
    changed: Array = hed2rgb(rgb2hed(rgb) * alpha + beta / _ABSORBANCE).astype(np.float32)
    return changed


class RandStainJitter(Randomizable, MapTransform):
    """Jitters the stains of "image" (3, H, W) float32 in [0, 1]: alpha from 1 - sigma to 1 + sigma, beta +/- sigma.

    Raises ValueError for intensities outside [0, 1]: densities are logarithms of transmitted light.
    """

    def __init__(self, sigma: float) -> None:
        MapTransform.__init__(self, ["image"])
        self.sigma = sigma

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = torch.as_tensor(data["image"]).numpy()
        if image.min() < -1e-3 or image.max() > 1 + 1e-3:
            raise ValueError(f"stain: intensities are {image.min():.3g} to {image.max():.3g}; they must be in [0, 1].")
        alpha, beta = self.R.uniform(1 - self.sigma, 1 + self.sigma, 3), self.R.uniform(-self.sigma, self.sigma, 3)
        rgb = jitter(image.transpose(1, 2, 0).clip(0, 1), alpha, beta)
        return {**data, "image": np.ascontiguousarray(rgb.transpose(2, 0, 1))}
