"""What a package says of the data behind it: digests, intensity statistics, a few images to prove parity on."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.image import Array
from models.preprocess import intensity_figures
from training.data.examples import Example
from training.data.prepared import Prepared
from training.data.split import digest


def data_digest(data: Prepared) -> str:
    """sha256 over every prepared training input and its truth."""
    return digest(
        hashlib.sha256(image.tobytes() + truth.tobytes()).hexdigest() for image, truth in zip(data.inputs, data.truths)
    )


def intensity_statistics(inputs: Sequence[Array]) -> dict[str, dict[str, float]]:
    """What 99 % of the prepared training inputs (C, H, W) lie between, and a little to both sides.

    A figure that preprocessing fixes, such as the mean after zero-mean scaling, would else vary by rounding alone.
    """
    figures = [intensity_figures(x) for x in inputs]
    ranges = {}
    for name in figures[0]:
        low, high = np.percentile([figure[name] for figure in figures], [0.5, 99.5])
        margin = 0.01 * (high - low) + 1e-3
        ranges[name] = {"low": float(low - margin), "high": float(high + margin)}
    return ranges


def sample_images(examples: Sequence[Example], *, count: int) -> list[Tensor]:
    """`count` images as they are, (H, W, C), evenly spaced in the list."""
    chosen = [examples[i] for i in np.linspace(0, len(examples) - 1, count).astype(int)]
    return [torch.from_numpy(np.ascontiguousarray(example.image())) for example in chosen]
