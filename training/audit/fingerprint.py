"""What stays of an image when it is compressed, resized, brightened, mirrored or turned: two fingerprints, and who
shares them.

A perceptual hash of 64 bits, low frequencies of the cosine transform against their median (Zauner 2010), finds
candidates among all pairs. On images that all look alike, such as chest X-rays, half a per cent of all pairs share it
by chance: a pair counts where the fine structure of its thumbnails correlates too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
from scipy.fft import dct
from scipy.ndimage import uniform_filter1d

from models.image import Array

SIDE = 32  # px of the thumbnail
SMALLEST = 24  # px; on images of 8 px different digits correlate by 0.93
FREQUENCIES = 8
BITS = 10  # of 64 may differ
# Measured on 3,306 chest X-rays: copies that were compressed, halved, brightened or given noise correlate by 0.93 and
# more, the two different pictures that are most alike by 0.81.
ALIKE = 0.88
BLOCK = 64  # images against all others at once
BATCH = 4096  # candidates whose thumbnails are compared at once
COSINES = dct(np.eye(SIDE), axis=0, norm="ortho")[:FREQUENCIES].astype(np.float32)  # (8, 32), the lowest frequencies
TURNED = (  # how oriented() changes a square, by number; mirror images of different X-rays correlate by 0.79 at most
    "as it is",
    "mirrored left to right",
    "mirrored top to bottom",
    "turned by 180 degrees",
    "mirrored about a diagonal",
    "turned by 90 degrees",
    "turned by 270 degrees",
    "mirrored about the other diagonal",
)
BLUR = uniform_filter1d(np.eye(SIDE, dtype=np.float32), 5, axis=0)  # (32, 32), the mean of five pixels


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """hashes: (8,) of 64 bits, by TURNED. detail (32, 32) float16: the thumbnail less its surroundings, of length 1."""

    hashes: Array
    detail: Array


def oriented(square: Array, number: int) -> Array:
    """(..., n, n) -> the same mirrored or turned, as TURNED has it."""
    square = square.swapaxes(-1, -2) if number & 4 else square
    return square[..., :: -1 if number & 2 else 1, :: -1 if number & 1 else 1]


def fingerprint(image: Array) -> Fingerprint | None:
    """(H, W, C) any dtype -> its fingerprint; None where the image is too small or has no texture to tell it by."""
    if min(image.shape[:2]) < SMALLEST:
        return None
    grey = image.astype(np.float32) @ np.full(image.shape[2], 1 / image.shape[2], np.float32)  # faster than mean()
    small = PIL.Image.fromarray(grey).resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    thumbnail = np.asarray(small, dtype=np.float32)
    detail = thumbnail - BLUR @ thumbnail @ BLUR.T
    length = float(np.linalg.norm(detail))
    if not np.isfinite(length) or length <= 1e-4 * np.abs(thumbnail).sum():
        return None
    every = np.stack([oriented(thumbnail, number) for number in range(len(TURNED))])
    low = (COSINES @ every @ COSINES.T).reshape(len(TURNED), -1)[:, 1:]  # (8, 63), without the mean
    bits = np.pad(low > np.median(low, axis=1, keepdims=True), [(0, 0), (0, 1)])
    return Fingerprint(np.packbits(bits, axis=1).view(np.uint64)[:, 0], (detail / length).astype(np.float16))


def alike(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, float, str]]:
    """Each pair i < j of near-duplicates once, how far they correlate, and how j is turned."""
    hashes = np.array([each.hashes for each in prints], dtype=np.uint64).reshape(-1, len(TURNED))
    details = np.array([each.detail for each in prints], dtype=np.float16).reshape(-1, SIDE, SIDE)
    for start in range(0, len(prints), BLOCK):
        found: dict[tuple[int, int], tuple[float, str]] = {}
        for number, how in enumerate(TURNED):
            distance = np.bitwise_count(hashes[start : start + BLOCK, None, 0] ^ hashes[None, start:, number])
            first, second = np.nonzero(distance <= BITS)
            ahead = first < second
            for i, j, likeness in _correlated(details, first[ahead] + start, second[ahead] + start, number):
                found.setdefault((i, j), (likeness, how))
        for pair, said in found.items():
            yield *pair, *said


def _correlated(details: Array, first: Array, second: Array, number: int) -> Iterator[tuple[int, int, float]]:
    """Of these pairs those whose thumbnails' details correlate, the second's turned."""
    for batch in range(0, len(first), BATCH):
        one, other = first[batch : batch + BATCH], second[batch : batch + BATCH]
        likeness = np.einsum("nyx,nyx->n", details[one], oriented(details[other], number), dtype=np.float32)
        for k in np.flatnonzero(likeness >= ALIKE):
            yield int(one[k]), int(other[k]), float(likeness[k])
