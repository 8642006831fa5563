"""Tests of a JPEG's headers: what they say, what they cannot say, and that the rebuilt stream is the image alone."""

import io

import numpy as np
import PIL.Image
import pytest

from models.decode.jpeg_header import Frame, Jpeg, Scan, Steps, quantisation, read_frame, read_scan
from models.errors import DamagedImage, UnsupportedImage
from tests.models.decode.crafted_jpeg import EOI, PROGRESSIVE, QUANTISATION, frame, grey, progressive, scan, segment
from tests.models.decode.files import noise, pillow


def body(whole: bytes) -> bytes:
    return whole[4:]


def test_headers_say_size_scans_quantisation_and_orientation() -> None:
    jpeg = Jpeg(pillow(noise(40, 50, 3), "JPEG", orientation=6, quality=50, progressive=True))
    assert (jpeg.frame.width, jpeg.frame.height, jpeg.frame.precision) == (50, 40, 8)
    assert (jpeg.frame.progressive, len(jpeg.frame.components)) == (True, 3)
    assert (jpeg.scans, jpeg.orientation, jpeg.damage) == (10, 6, None)
    assert {number: steps[0] for number, steps in jpeg.steps.items()} == {
        1: 16,
        2: 17,
        3: 17,
    }  # of the standard's tables, annex K


def test_xmp_may_say_the_orientation() -> None:
    xmp = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="8"/>')
    assert Jpeg(grey(8, 8, between=xmp)).orientation == 8


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"subsampling": 0}], ids=str
)
def test_the_stream_decodes_to_the_same_pixels_and_holds_nothing_else(options: dict[str, object]) -> None:
    data = pillow(noise(40, 50, 3), "JPEG", comment=b"a name", orientation=6, **options)
    stream = Jpeg(data[:2] + b"\xff\xff\xff" + data[2:] + b"behind its end").stream()
    assert b"a name" not in stream
    assert b"Exif" not in stream
    assert b"behind" not in stream
    pixels = (np.asarray(PIL.Image.open(io.BytesIO(each))) for each in (data, stream))
    np.testing.assert_array_equal(*pixels)


@pytest.mark.parametrize(
    ("header", "error", "says"),
    [
        (frame(8, 8, kind=0xC9), UnsupportedImage, "SOF9"),
        (frame(8, 0), UnsupportedImage, "DNL"),
        (frame(0, 8), DamagedImage, "0 x 8"),
        (frame(8, 8)[:-1], DamagedImage, "incomplete"),
        (frame(8, 8, components=2).replace(b"\2\x11", b"\1\x11"), DamagedImage, "8 x 8"),  # one id twice
    ],
)
def test_a_frame_that_cannot_be_is_refused(header: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        read_frame(header[1], body(header))


@pytest.mark.parametrize(
    ("header", "kind", "found"),
    [
        (scan(b""), 0xC0, Scan(b"\1", 0, 63, 255, 0)),
        (scan(b"", last=0, after=9), 0xC0, Scan(b"\1", 0, 63, 255, 0)),  # a sequential one has no bands
        (scan(b"", last=0, after=1), PROGRESSIVE, Scan(b"\1", 0, 0, 255, 1)),
        (scan(b"", first=5, before=2, after=1), PROGRESSIVE, Scan(b"\1", 5, 63, 2, 1)),
        (scan(b"", components=2), 0xC0, "does not fit"),
        (scan(b"", components=0), 0xC0, "does not fit"),
        (scan(b"")[:-1], 0xC0, "does not fit"),
        (scan(b"", first=9, last=8), PROGRESSIVE, "coefficients 9 to 8"),
        (scan(b"", last=64), PROGRESSIVE, "coefficients 0 to 64"),
    ],
)
def test_a_scan_is_a_band_of_coefficients(header: bytes, kind: int, found: Scan | str) -> None:
    shape = Frame(kind, 8, 8, 8, {1: 0}, b"\x11")
    if isinstance(found, Scan):
        assert read_scan(body(header), shape) == found
    else:
        with pytest.raises(DamagedImage, match=found):
            read_scan(body(header), shape)


@pytest.mark.parametrize(
    ("tables", "steps"),
    [
        (body(QUANTISATION), {0: (16,) * 64}),
        (b"\1" + bytes(range(5, 69)) + b"\2" + bytes(range(7, 71)), {1: tuple(range(5, 69)), 2: tuple(range(7, 71))}),
        (b"\x11\1\2" + bytes(126), {1: (258, *[0] * 63)}),
    ],
)
def test_quantisation_tables_have_64_steps_of_8_or_16_bits(tables: bytes, steps: dict[int, Steps]) -> None:
    assert quantisation(tables) == steps
    with pytest.raises(DamagedImage, match="incomplete"):
        quantisation(tables[:-1])


WHOLE = progressive(64, 64, 5, bits=2)
LAST = WHOLE.rindex(b"\xff\xda")


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        (WHOLE, None),
        (WHOLE + b"anything", None),
        (WHOLE[:-2], "its end is missing"),
        (WHOLE[:LAST] + EOI, "scans are missing"),  # a cut between two scans
        (WHOLE[:-2] + WHOLE[LAST:], "does not go on"),  # the last scan twice
        (WHOLE[:-2] + b"\xff\xe0\0\1", "goes on beyond"),
        (WHOLE[:-2] + b"\xff\xd8", "second image"),
        (WHOLE[:-2] + frame(8, 8), "two frame"),
    ],
)
def test_what_is_wrong_behind_the_first_scan_is_damage(data: bytes, damage: str | None) -> None:
    found = Jpeg(data).damage
    assert (found is None) if damage is None else damage in str(found)


@pytest.mark.parametrize(
    "data", [WHOLE[:20], grey(64, 64)[:-40], WHOLE[: WHOLE.index(b"\xff\xda")] + EOI, grey(64, 64, between=frame(8, 8))]
)
def test_what_is_wrong_before_the_first_scan_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedImage):
        Jpeg(data)


def test_zeros_behind_the_data_may_be_padding() -> None:
    data = pillow(noise(64, 64), "JPEG").removesuffix(EOI)
    end = data.rstrip(b"\0")
    stripped = [each.data for each in Jpeg(data + bytes(100) + EOI).without_padding()]
    assert stripped == [end + bytes(zeros) + EOI for zeros in range(3)]
    assert list(Jpeg(end + EOI).without_padding()) == []
    assert list(Jpeg(grey(64, 64)).without_padding()) == []  # which are zeros alone


def test_a_stuffed_zero_is_no_padding() -> None:
    data = grey(64, 64).removesuffix(EOI) + b"\xff\0"
    assert list(Jpeg(data + EOI).without_padding()) == []
    assert next(Jpeg(data + bytes(9) + EOI).without_padding()).data == data + EOI
