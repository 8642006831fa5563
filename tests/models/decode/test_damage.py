"""Whatever is done to a file, decoding it gives an image or an ImageError, and nothing else."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.decode import decode
from models.errors import DamagedImage, ImageError, NotAnImage
from models.source import Image
from tests.models.decode.files import FILES


def decode_or_refuse(data: bytes) -> Image | None:
    try:
        return decode(data, max_pixels=1_000_000)
    except ImageError:
        return None


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_refused_or_still_whole(name: str) -> None:
    data = FILES[name]
    whole = decode(data, max_pixels=1_000_000)
    for length in range(len(data)):
        image = decode_or_refuse(data[:length])
        # What may be missing stands behind the pixels: PNG's IEND, TIFF's padding.
        assert image is None or np.array_equal(image.pixels, whole.pixels)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12))
def test_changed_bytes_never_raise_anything_else(name: str, edits: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[name])
    for position, value in edits:
        data[int(position**2 * len(data))] = value  # more often in the headers
    image = decode_or_refuse(bytes(data))
    assert image is None or (image.pixels.ndim == 3 and image.channels in (1, 3) and image.pixels.size)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "is empty"), (b"GIF89a..", "47 49 46 38 39 61"), (b"http://x", "68 74"), (b"\x89PN", "89 50 4e")],
)
def test_what_is_no_image_is_named_by_its_first_bytes(data: bytes, says: str) -> None:
    with pytest.raises(NotAnImage, match=says):
        decode(data, max_pixels=1_000_000)


@pytest.mark.parametrize("name", ["grey png", "grey jpeg", "16-bit tiff"])
def test_half_a_file_is_damaged(name: str) -> None:
    with pytest.raises(DamagedImage, match="damaged or cut short"):
        decode(FILES[name][: len(FILES[name]) // 2], max_pixels=1_000_000)
