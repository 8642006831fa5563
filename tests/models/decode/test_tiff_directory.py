"""Tests of TIFF directories: how many tags, values and pages a file may list."""

import pytest

from models.decode.tiff_directory import check_directories
from models.errors import DamagedImage, TooCostly, UnsupportedImage
from tests.models.decode.files import FILES, noise, tiff
from tests.models.decode.handmade_tiff import (
    ASCII,
    RATIONAL,
    SHORT,
    Tag,
    chain,
    described,
    grey,
    handmade,
    text,
    values,
)


def pages(data: bytes) -> int:
    return check_directories(data, most=5)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (FILES["16-bit tiff"], 1),
        (FILES["big-endian BigTIFF"], 1),
        (FILES["OME-TIFF"], 3),
        (tiff(noise(4, 9, 11), photometric="minisblack", bigtiff=True), 4),
        (chain(4), 4),
        (chain(4096), 5),  # counted to five
    ],
    ids=["one", "BigTIFF", "OME", "BigTIFF of four", "four", "4,096"],
)
def test_pages_are_counted(data: bytes, count: int) -> None:
    assert pages(data) == count


def numbers(code: int, count: int) -> Tag:
    return code, SHORT, count, bytes(2 * count)


@pytest.mark.parametrize(
    ("most", "more", "says"),
    [
        (numbers(258, 1024), numbers(258, 1025), "1,025 values in tag 258"),
        (numbers(320, 3 * 2**16), numbers(320, 3 * 2**16 + 3), "196,611 values in tag 320"),  # 16 bits of colours
        (numbers(50838, 2**16), numbers(50838, 2**16 + 1), "65,537 values in tag 50838"),  # as many overlays in ImageJ
        (numbers(273, 4096), numbers(273, 4097), "4,097 values in tag 273"),
        (numbers(40_000, 10**6), None, ""),  # nobody reads it
    ],
    ids=["bits", "colours", "overlays", "strips", "private"],
)
def test_a_tag_that_is_read_may_list_so_many_values(most: Tag, more: Tag | None, says: str) -> None:
    assert pages(handmade([most])) == 1
    if more:
        with pytest.raises(TooCostly, match=says):
            pages(handmade([more]))


def test_a_page_has_at_most_512_tags() -> None:
    tags = grey(64, 64)
    assert pages(handmade(tags + [values(40_000, 1)] * (512 - len(tags)))) == 1
    with pytest.raises(TooCostly, match="513 tags in a page"):
        pages(handmade(tags + [values(40_000, 1)] * (513 - len(tags))))


def test_a_text_may_be_as_long_as_the_file_but_not_be_read_many_times() -> None:
    assert pages(described(b"x" * 2_000_000)) == 1
    once = described(b"x" * 2_000_000, text(270, b"x"))
    assert pages(once) == 1
    circle = once[:-4] + once[4:8]
    with pytest.raises(TooCostly, match=r"10,000,005 bytes of text and 40 numbers in 2,00\d,\d\d\d bytes"):
        pages(circle)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (handmade(grey(9, 11), following=10_000), DamagedImage, "pages lead out of the file"),
        (b"II*\0\xff\xff\xff\x7f", DamagedImage, "pages lead out of the file"),
        (described(b"", (33629, RATIONAL, 7, bytes(56))), UnsupportedImage, "7 planes"),
        (described(b"", (33629, ASCII, 70, bytes(70))), UnsupportedImage, "70 planes"),
    ],
    ids=["next page", "first page", "STK", "STK of another type"],
)
def test_what_leads_elsewhere_is_refused(data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        pages(data)
