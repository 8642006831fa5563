"""Tests of TIFF files in memory: their pages, and that what is no TIFF leaves nothing either."""

import gc
import sys

import numpy as np
import pytest
import tifffile

from models.decode.tiff_file import TiffFile
from tests.models.decode.files import noise, tiff


def test_its_pages_can_be_decoded() -> None:
    pixels = noise(3, 9, 11)
    file = TiffFile(tiff(pixels, photometric="minisblack", compression="zlib"), pages=3)
    np.testing.assert_array_equal([page.asarray() for page in file.pages], pixels)


def test_its_end_is_that_of_tifffiles_objects() -> None:
    data = tiff(noise(9, 11), compression="zlib", description="x" * 100)
    gc.collect()
    gc.disable()
    try:
        file = TiffFile(data, pages=1)
        file.pages[0].asarray()
        held = sys.getrefcount(data)
        del file
        assert sys.getrefcount(data) == held - 1
        assert not [each for each in gc.get_objects() if type(each) in (tifffile.TiffFile, tifffile.TiffPage)]
    finally:
        gc.enable()


@pytest.mark.parametrize("data", [b"GIF89a", b"II*\0" + bytes(20), b""])
def test_what_is_no_tiff_is_let_go(data: bytes) -> None:
    held = sys.getrefcount(data)
    with pytest.raises((tifffile.TiffFileError, IndexError)):
        TiffFile(data, pages=1)
    assert sys.getrefcount(data) == held
