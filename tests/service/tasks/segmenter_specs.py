"""Specs of segmenters, and their probability maps pixel by pixel."""

import numpy as np

from models.image import Array
from models.spec import ModelSpec
from tests.package_parts import spec_of


def spec(*labels: str, activation: str = "sigmoid", thresholds: tuple[float, ...] = ()) -> ModelSpec:
    classes = [{"label": label, "threshold": t} for label, t in zip(labels, thresholds or [0.5] * len(labels))]
    return spec_of(stride=1, input={"channels": 1, "steps": []}, classes=classes, activation=activation)


def maps(*pixels: tuple[float, ...]) -> Array:
    """One tuple of class probabilities a pixel -> (C, 1, W)."""
    return np.array(pixels, np.float32).T[:, None, :]
