"""Tests of TIFF metadata: the pixel sizes and stack sizes that OME-XML, ImageJ and tifffile state."""

import io

import pytest
import tifffile

from models.decode import decode
from models.decode.tiff_metadata import spacing_um, stack_sizes
from models.source import Image
from tests.models.decode.files import noise, tiff


def read(data: bytes) -> Image:
    return decode(data, max_pixels=1_000_000)


@pytest.mark.parametrize(
    ("options", "pixel_size_um"),
    [
        ({}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),  # a printer's
        ({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}, 0.5),
        ({"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}, None),  # not square
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "um"}}, 0.25),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "\\u00B5m"}}, 0.25),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "pixel"}}, None),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.325}}, 0.325),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 90, "PhysicalSizeXUnit": "nm"}}, 0.09),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 1, "PhysicalSizeY": 2}}, None),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 3, "PhysicalSizeXUnit": "cubit"}}, None),
    ],
    ids=str,
)
def test_the_pixel_size_is_what_the_file_says(options: dict[str, object], pixel_size_um: float | None) -> None:
    stated = read(tiff(noise(9, 11), **options)).pixel_size_um
    assert stated == (None if pixel_size_um is None else pytest.approx(pixel_size_um))


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}, (1.0, 0.5)),  # given as x, y
        ({"resolution": (20_000, 0), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (2, 4), "imagej": True, "metadata": {"unit": "micron"}}, (0.25, 0.5)),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 1, "PhysicalSizeY": 2}}, (2.0, 1.0)),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 3}}, (3.0, 3.0)),  # one side stands for both
    ],
    ids=str,
)
def test_spacing_is_height_and_then_width(options: dict[str, object], sides: tuple[float, float] | None) -> None:
    with tifffile.TiffFile(io.BytesIO(tiff(noise(9, 11), **options))) as file:
        assert spacing_um(file, file.pages.first) == (None if sides is None else pytest.approx(sides))


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"ome": True, "metadata": {"axes": "CYX"}}, {"C": 3, "Z": 1, "T": 1}),
        ({"ome": True, "metadata": {"axes": "ZYX"}}, {"C": 1, "Z": 3, "T": 1}),
        ({"imagej": True, "metadata": {"axes": "TYX"}}, {"C": 1, "Z": 1, "T": 3}),
        ({"metadata": {"axes": "CYX"}, "photometric": "minisblack"}, {"C": 3}),
        ({"metadata": {"axes": "ZYX"}, "photometric": "minisblack"}, {}),
        ({"metadata": None, "photometric": "minisblack"}, {}),  # without a word on what the pages are
    ],
    ids=["OME channels", "OME slices", "ImageJ frames", "tifffile channels", "tifffile slices", "nothing"],
)
def test_stack_sizes_are_what_the_dialect_states(options: dict[str, object], sizes: dict[str, int]) -> None:
    with tifffile.TiffFile(io.BytesIO(tiff(noise(3, 9, 11), **options))) as file:
        assert stack_sizes(file, pages=3) == sizes
