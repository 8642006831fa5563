"""Tests of tensor data: numbers and files, from JSON and from bytes."""

from base64 import b64encode

import numpy as np
import pytest

from service.http.errors import BadTensor
from service.http.openinference.tensors import files, joined, numbers
from tests.service.http.openinference.requests import elements

VALUES = np.arange(6, dtype=np.float32).reshape(1, 2, 3)


@pytest.mark.parametrize("data", [[0, 1, 2, 3, 4, 5.0], [[[0, 1, 2], [3, 4, 5]]]], ids=["flat", "nested"])
def test_numbers_in_json_are_flat_or_nested_as_the_shape_says(data: list[object]) -> None:
    found = numbers("image", (1, 2, 3), data)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VALUES)
    with pytest.raises(BadTensor):
        numbers("image", (1, 3, 3), data)


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_numbers_in_bytes_are_aligned_wherever_they_begin(offset: int) -> None:
    body = memoryview(bytes(offset) + VALUES.astype("<f4").tobytes())
    found = numbers("image", (1, 2, 3), body[offset:])
    assert found.flags.aligned
    np.testing.assert_array_equal(found, VALUES)


def test_files_are_base64_in_json_or_each_after_its_length() -> None:
    sent = [b"one", b"", b"three"]
    texts = [b64encode(file).decode() for file in sent]
    assert files("image_bytes", 3, texts) == sent
    assert files("image_bytes", 3, [[text] for text in texts]) == sent  # of shape [N, 1]
    assert files("image_bytes", 3, memoryview(elements(*sent))) == sent


def test_texts_are_joined_each_after_its_length_in_bytes() -> None:
    assert joined(["ab", "ä", ""]) == b"\2\0\0\0ab" + b"\2\0\0\0\xc3\xa4" + b"\0\0\0\0"
