"""Tests of signals and sequences: sources of channels by samples, and what a letter becomes."""

import io

import numpy as np
import pytest

from models.decode.signal import one_hot, open_signal
from models.errors import BadSignal
from models.image import Array


def test_a_signal_is_a_source_of_channels_by_samples() -> None:
    source = open_signal(b"[[1, 2, 3], [4, 5, 6]]", channels=2, length=3)
    assert (source.axes, source.format, source.read().tolist()) == ("CX", "json", [[1, 2, 3], [4, 5, 6]])


def npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


COUNTS = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (npy(COUNTS), "int64"),
        (npy(np.asfortranarray(COUNTS.astype(">f4"))), "float32"),  # columns first, other bytes first
        (b"[[0, 1, 2], [3, 4, 5]]", "float64"),
    ],
    ids=["npy", "foreign npy", "json"],
)
def test_values_and_their_order_are_kept(data: bytes, dtype: str) -> None:
    read = open_signal(data, channels=2, length=3).read()
    assert (read.dtype, read.tolist()) == (dtype, COUNTS.tolist())


def test_one_channel_needs_no_axis_of_its_own() -> None:
    for data in (npy(COUNTS[0]), npy(COUNTS[:1]), b"[0, 1, 2]"):
        assert open_signal(data, channels=1, length=3).read().tolist() == [[0, 1, 2]]
    with pytest.raises(BadSignal, match=r"shape is \(3,\); this model takes \(2, 3\)"):
        open_signal(b"[0, 1, 2]", channels=2, length=3)


def test_each_letter_has_its_channel() -> None:
    assert one_hot("cAa", "act").tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert open_signal(b'"cAa"', channels=3, length=3, letters="act").read().tolist() == one_hot("caa", "act").tolist()
    with pytest.raises(BadSignal, match="place 2 holds 'n'; this model knows the letters a, c, t"):
        one_hot("cNa", "act")
    with pytest.raises(BadSignal, match="knows the letters none"):
        open_signal(b'"c"', channels=1, length=1)


def test_more_bytes_than_the_values_can_take_are_refused_unread() -> None:
    """64 bytes for the value and 1000 for a header: 1064 are still read."""
    assert open_signal(b"[7" + b" " * 1061 + b"]", channels=1, length=1).read().tolist() == [[7]]
    with pytest.raises(BadSignal, match="1,065 bytes are more than 1 x 1 values can take"):
        open_signal(b"[7" + b" " * 1062 + b"]", channels=1, length=1)
