"""Tests of the walk over a JPEG's segments: where each begins and ends, and that its time is bounded."""

import pytest

from models.decode.jpeg_markers import APP0, DQT, EOI, Segment, data_end, segment_at
from models.errors import DamagedImage


@pytest.mark.parametrize(
    ("data", "offset", "found"),
    [
        (b"\xff\xe0\0\4ab", 0, Segment(APP0, 0, 4, 6)),
        (b"..\xff\xdb\0\2..", 2, Segment(DQT, 2, 6, 6)),
        (b"\xff\xff\xff\xe0\0\2", 0, Segment(APP0, 2, 6, 6)),  # fill bytes
        (b"\xff\xd9", 0, Segment(EOI, 0, 2, 2)),
        (b"\xff\xd8", 0, Segment(0xD8, 0, 2, 2)),
        (b"\xff\xd3\0", 0, Segment(0xD3, 0, 2, 2)),  # a restart has no parameters
    ],
)
def test_a_segment_has_a_marker_and_parameters(data: bytes, offset: int, found: Segment) -> None:
    assert segment_at(data, offset) == found


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "its end is missing"),
        (b"\xff", "its end is missing"),
        (b"ab\xff\xd9", "no marker"),
        (b"\xff\0\0\0", "no marker"),
        (b"\xff\xe0", "goes on beyond"),
        (b"\xff\xe0\0", "goes on beyond"),
        (b"\xff\xe0\0\1", "goes on beyond"),
        (b"\xff\xe0\0\5ab", "goes on beyond"),
    ],
)
def test_a_segment_that_is_none_is_damage(data: bytes, says: str) -> None:
    with pytest.raises(DamagedImage, match=says):
        segment_at(data, 0)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"ab\xff\xd9", 2),
        (b"a\xff\0b\xff\xd0c\xff\xd7d\xff\xda", 10),  # stuffed zeros and restarts are data
        (b"a\xff\xff\xff\xd9", 3),
        (b"abc", 3),  # cut short
        (b"", 0),
    ],
)
def test_data_end_at_the_next_marker(data: bytes, end: int) -> None:
    assert data_end(data, 0, limit=100) == end


def test_data_that_go_on_beyond_their_limit_are_damage() -> None:
    with pytest.raises(DamagedImage, match="more than the 1,000 bytes"):
        data_end(b"\xff\0" * 501, 0, limit=1000)
