"""Colour rendering: display range, colour maps and overlays."""

from pathlib import Path

import numpy as np

from models.image import Array
from models.preprocess import percentiles

COLORMAPS = ("viridis", "magma", "inferno", "turbo", "gray")
# (5, 256, 3) uint8 in that order, sampled from matplotlib's (CC0; turbo by Google, Apache-2.0).
_TABLES = np.load(Path(__file__).with_name("colormaps.npy"))
_ROWS = 32  # at a time, so that intermediate results fit in the CPU cache
_DISPLAY_PERCENTILES = (0.1, 99.9)


def displayable(pixels: Array) -> Array:
    """Converts (H, W, 1 or 3) of any dtype to (H, W, 3) uint8; stretches all but 8-bit pixels between percentiles.

    All channels share one range, which preserves the hue.
    """
    if pixels.dtype != np.uint8:
        with np.errstate(over="ignore", invalid="ignore"):  # infinity is clipped too
            low, high = percentiles(pixels, _DISPLAY_PERCENTILES, axes=("channel", "y", "x"))
            span = float(high.item() - low.item()) or 1.0
            pixels = ((pixels - low.item()) * (255 / span)).clip(0, 255).round().astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def palette(name: str) -> Array:
    """Returns a colour map as (256, 3) uint8."""
    table: Array = _TABLES[COLORMAPS.index(name)]
    return table


def levels(values: Array) -> Array:
    """Converts (H, W) float in [0, 1] to (H, W) uint8 palette indices."""
    return (values * 255).round().astype(np.uint8)


def colormap(values: Array, name: str) -> Array:
    """Colours (H, W) float in [0, 1] as (H, W, 3) uint8."""
    return palette(name).take(levels(values), axis=0)


def blend(background: Array, foreground: Array, weight: Array) -> Array:
    """Blends two (H, W, 3) uint8 by the second's weight, (H, W) float in [0, 1], into (H, W, 3) uint8.

    Weights are rounded to 1 / 256, so that 16 bits suffice: within one grey level of the weighted mean.
    """
    blended = np.empty_like(background)
    for top in range(0, len(background), _ROWS):
        rows = slice(top, top + _ROWS)
        share = (weight[rows] * 256 + 0.5).astype(np.uint16)
        share = np.repeat(share, 3, axis=1).reshape(foreground[rows].shape)
        mixed = foreground[rows] * share
        mixed += background[rows] * (256 - share)
        mixed += 128  # 0.5, since the shift truncates
        blended[rows] = mixed >> 8
    return blended


def rgb(colour: str) -> tuple[int, int, int]:
    """Parses a colour: "#e69f00" -> (230, 159, 0)."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
