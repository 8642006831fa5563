"""Tests of the NPY encoder."""

import io

import numpy as np
import pytest

from service.encode.npy import npy


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda array: array[:, ::-1]])
def test_arrays_are_preserved(dtype: type, layout) -> None:
    array = layout((np.arange(12).reshape(3, 4) % 5).astype(dtype))
    decoded = np.load(io.BytesIO(npy(array)), allow_pickle=False)
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array)
