"""Loader of scikit-learn's bundled handwritten digits (Alpaydin and Kaynak, UCI 1998): 1,797 images."""

from typing import Literal

import numpy as np
from sklearn.datasets import load_digits

from training.data.examples import DataSet, Example, Loader, constant


class SklearnDigits(Loader):
    """Loader without settings: ten classes of 8 x 8 grey images, intensities 0 ... 16; the writers are unknown."""

    loader: Literal["sklearn_digits"]

    def load(self) -> DataSet:
        digits = load_digits()
        pixels = digits.images.astype(np.uint8)[..., None]  # (N, 8, 8, 1); the floats are integers
        examples = [
            Example(
                name=f"digit/{i}",
                group=f"digit/{i}",
                stratum=str(digit),
                split=None,
                image=constant(pixels[i]),
                truth=constant(np.int64(digit)),
            )
            for i, digit in enumerate(digits.target)
        ]
        return DataSet(tuple(examples), tuple(str(name) for name in digits.target_names))
