"""U-Net's elastic deformation: random displacements on a coarse 3 x 3 grid, bicubic between (Ronneberger 2015)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import MapTransform, Randomizable
from torch import Tensor
from torch.nn import functional as F

GRID = 3


def displacements(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolates displacements (2, GRID, GRID) px, its corners on the image's, to (2, H, W) px: down and right."""
    return F.interpolate(coarse[None], size, mode="bicubic", align_corners=True)[0]


def displace(image: Tensor, shift: Tensor) -> Tensor:
    """Samples each pixel of an image (C, H, W) at its displacement (2, H, W) px, bilinearly.

    Beyond the borders the image is mirrored.
    """
    height, width = image.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    where = torch.stack([2 * (x + shift[1]) / (width - 1) - 1, 2 * (y + shift[0]) / (height - 1) - 1], dim=-1)
    return F.grid_sample(image[None], where[None], padding_mode="reflection", align_corners=True)[0]


class RandDeform(Randomizable, MapTransform):
    """Deforms arrays (C, H, W) float32 together; std_px: standard deviation of displacements at the grid points."""

    def __init__(self, keys: Sequence[str], *, std_px: float) -> None:
        MapTransform.__init__(self, keys)
        self.std_px = std_px

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        coarse = torch.from_numpy(self.R.normal(0, self.std_px, (2, GRID, GRID))).float()
        first = torch.as_tensor(data[self.keys[0]])
        shift = displacements(coarse, (first.shape[1], first.shape[2]))
        return {**data, **{key: displace(torch.as_tensor(data[key]).float(), shift) for key in self.keys}}
