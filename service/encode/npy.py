"""NPY encoder: NumPy's own format, which every array library reads."""

import io

import numpy as np

from models.image import Array


def npy(array: Array) -> bytes:
    """Encodes any array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()
