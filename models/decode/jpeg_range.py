"""Quantisation tables by which a JPEG's excess over the range of 8 bits is seen, which libjpeg would cut off.

Each coefficient gets a smaller step than its encoder divided it by, so that samples of 0 to 255 come to lie closer to
128, and others are seen beyond them. Steps are whole numbers, so coefficients become smaller by unequal factors; how
far an image can lead then, whatever it shows, follows from the basis functions of the cosine transform.
"""

from typing import NamedTuple

import numpy as np

from models.image import Array

_SCALES = np.array([0.24, 0.3, 0.36, 0.42, 0.48, 0.54, 0.6, 0.64, 0.68, 0.72, 0.76])
_MOST = 126  # of 128 levels on either side of the middle
_ROUNDING = 3  # levels, of libjpeg's and of fast encoders' arithmetic
_WAVES = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) / (2 if u else 8**0.5) for x in range(8)] for u in range(8)])
_PAIRS = (_WAVES[:, 0:4:2] + _WAVES[:, 1:4:2]) / 2  # means of two samples
_ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, k // 8 if (k // 8 + k % 8) % 2 else k % 8))


class Visible(NamedTuple):
    """A quantisation table for libjpeg. furthest: from 128, that an image of 8 bits can lead with it."""

    steps: bytes  # (64,) in the order of the file
    furthest: int  # 128 where any can


def _products(waves: Array) -> Array:
    """Returns the basis in two dimensions: (8, n) -> (n * n samples, 64 coefficients in the order of the file)."""
    return np.asarray(np.einsum("ux,vy->xyuv", waves, waves).reshape(-1, 64)[:, _ZIGZAG])


_OF_SAMPLES = np.ascontiguousarray(_products(_WAVES).T)
_SAMPLES, _MEANS = _products(_WAVES[:, :4]), _products(_PAIRS)  # a quarter of the block, which the others mirror


def visible(steps: tuple[int, ...], *, halved: bool) -> Visible:
    """Returns the table that shows the least excess. steps: the encoder's. halved: seen are means of 2 x 2 samples."""
    table = np.maximum(steps, 1).astype(np.float64)
    smaller = np.clip(np.round(_SCALES[:, None] * table), 0, 255)  # (S, 64)
    smaller[:, 0] = np.maximum(smaller[:, 0], 1)
    furthest = _furthest(smaller, table, _MEANS if halved else _SAMPLES)
    least_seen = np.where(furthest <= _MOST, furthest / (smaller / table).mean(axis=1), np.inf)
    best = int(least_seen.argmin())
    if least_seen[best] == np.inf:
        return mean_alone(steps)
    return Visible(smaller[best].astype(np.uint8).tobytes(), int(furthest[best]))


def mean_alone(steps: tuple[int, ...]) -> Visible:
    """Returns a table that leaves nothing of a block but its mean."""
    return Visible(bytes([seen_step(steps[0])]) + bytes(63), 128)


def seen_step(step: int) -> int:
    """Returns the step with which the least mean that is out of range is just seen as such in 8 bits; 1 is coarsest."""
    return max(1, min(255, (1012 * step - 1) // (1024 + step)))


def _furthest(smaller: Array, table: Array, seen: Array) -> Array:
    """Returns how far from 128 a block of samples from 0 to 255 can lead: (S, 64) steps -> (S,)."""
    # (S, seen, samples), scale by scale: of one large product BLAS would make threads, which take longer than it does.
    responses = (seen * (smaller / table)[:, None]) @ _OF_SAMPLES
    of_samples = 128 * np.abs(responses).sum(axis=2)
    of_rounding = smaller @ np.abs(seen).T / 2  # an encoder's, of half a step of each coefficient
    return np.asarray((of_samples + of_rounding).max(axis=1) + _ROUNDING)
