"""Statistics of the training data that a package records, and sample images to prove parity on."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from training.data.examples import Example


def intensity_statistics(figures: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Returns the range of 99 % of the training inputs for each of their intensity_figures, with a small margin.

    Without the margin, figures that preprocessing fixes (the mean after zero-mean scaling) would have an empty range.
    """
    ranges = {}
    for name in figures[0]:
        low, high = np.percentile([figure[name] for figure in figures], [0.5, 99.5])
        margin = 0.01 * (high - low) + 1e-3
        ranges[name] = {"low": float(low - margin), "high": float(high + margin)}
    return ranges


def sample_images(examples: Sequence[Example], *, count: int) -> list[Tensor]:
    """Returns `count` unprepared images (H, W, C), evenly spaced in the list."""
    chosen = [examples[i] for i in np.linspace(0, len(examples) - 1, count).astype(int)]
    return [torch.from_numpy(np.array(example.image())) for example in chosen]
