"""Image fingerprints that survive compression, resizing, brightening, mirroring and rotation by 90 degrees.

A 64-bit perceptual hash, the low frequencies of the cosine transform against their median (Zauner 2010), finds
candidate pairs. Among images that look alike, such as chest X-rays, half a per cent of all pairs share a hash by
chance, so the fine structure of their thumbnails must correlate too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
from scipy.fft import dct
from scipy.ndimage import uniform_filter1d

from models.image import Array

SIDE = 32  # px of the thumbnail
SMALLEST = 24  # px; at 8 px, different digits correlate by 0.93
FREQUENCIES = 8
MAX_BITS = 10  # of 64 that may differ
# Measured on 3,306 chest X-rays: compressed, halved, brightened or noisy copies correlate by at least 0.93, the most
# similar pair of different pictures by 0.81.
MIN_CORRELATION = 0.88
BLOCK = 64  # images compared with all others at once
BATCH = 4096  # candidates whose thumbnails are compared at once
COSINES = dct(np.eye(SIDE), axis=0, norm="ortho")[:FREQUENCIES].astype(np.float32)  # (8, 32), the lowest frequencies
ORIENTATIONS = (  # by number, as orient() applies them; mirror images of different X-rays correlate by 0.79 at most
    "unchanged",
    "mirrored left to right",
    "mirrored top to bottom",
    "rotated by 180 degrees",
    "mirrored about a diagonal",
    "rotated by 90 degrees",
    "rotated by 270 degrees",
    "mirrored about the other diagonal",
)
BLUR = uniform_filter1d(np.eye(SIDE, dtype=np.float32), 5, axis=0)  # (32, 32), the mean of five pixels


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Fingerprint of an image.

    hashes: (8,) uint64, one for each of ORIENTATIONS. detail: (32, 32) float16, high-pass thumbnail of unit length.
    """

    hashes: Array
    detail: Array


def orient(square: Array, number: int) -> Array:
    """Mirrors or rotates a square (..., n, n) to the orientation of this number."""
    square = square.swapaxes(-1, -2) if number & 4 else square
    return square[..., :: -1 if number & 2 else 1, :: -1 if number & 1 else 1]


def fingerprint(image: Array) -> Fingerprint | None:
    """Computes an image's fingerprint, (H, W, C) any dtype; None if it is too small or has no texture."""
    if min(image.shape[:2]) < SMALLEST:
        return None
    grey = image.astype(np.float32) @ np.full(image.shape[2], 1 / image.shape[2], np.float32)  # faster than mean()
    small = PIL.Image.fromarray(grey).resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    thumbnail = np.asarray(small, dtype=np.float32)
    detail = thumbnail - BLUR @ thumbnail @ BLUR.T
    length = float(np.linalg.norm(detail))
    if not np.isfinite(length) or length <= 1e-4 * np.abs(thumbnail).sum():
        return None
    oriented = np.stack([orient(thumbnail, number) for number in range(len(ORIENTATIONS))])
    low = (COSINES @ oriented @ COSINES.T).reshape(len(ORIENTATIONS), -1)[:, 1:]  # (8, 63), without the mean
    bits = np.pad(low > np.median(low, axis=1, keepdims=True), [(0, 0), (0, 1)])
    return Fingerprint(np.packbits(bits, axis=1).view(np.uint64)[:, 0], (detail / length).astype(np.float16))


def similar_pairs(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, float, str]]:
    """Yields each pair i < j of near-duplicates, their correlation and the orientation of j."""
    hashes = np.array([each.hashes for each in prints], dtype=np.uint64).reshape(-1, len(ORIENTATIONS))
    details = np.array([each.detail for each in prints], dtype=np.float16).reshape(-1, SIDE, SIDE)
    for start in range(0, len(prints), BLOCK):
        pairs: dict[tuple[int, int], tuple[float, str]] = {}
        for number, orientation in enumerate(ORIENTATIONS):
            distance = np.bitwise_count(hashes[start : start + BLOCK, None, 0] ^ hashes[None, start:, number])
            first, second = np.nonzero(distance <= MAX_BITS)
            ahead = first < second
            for i, j, correlation in _correlated(details, first[ahead] + start, second[ahead] + start, number):
                pairs.setdefault((i, j), (correlation, orientation))
        for pair, match in pairs.items():
            yield *pair, *match


def _correlated(details: Array, first: Array, second: Array, number: int) -> Iterator[tuple[int, int, float]]:
    """Yields the pairs whose thumbnails correlate, the second in this orientation."""
    for batch in range(0, len(first), BATCH):
        left, right = first[batch : batch + BATCH], second[batch : batch + BATCH]
        correlation = np.einsum("nyx,nyx->n", details[left], orient(details[right], number), dtype=np.float32)
        for k in np.flatnonzero(correlation >= MIN_CORRELATION):
            yield int(left[k]), int(right[k]), float(correlation[k])
