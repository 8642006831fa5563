"""Damage inside JPEGs is found, of sound ones none; broken_jpegs.py has the kinds of both."""

import numpy as np
import PIL.Image
import pytest
import tifffile

from models.decode import decode, open_source, probe, recognised
from models.decode.jpeg_damage import damage_of, first_symbols
from models.decode.jpeg_header import Jpeg
from models.errors import DamagedImage, ImageError
from tests.data import real_data
from tests.models.decode.broken_jpegs import DAMAGES, ENCODINGS, encoded
from tests.models.decode.crafted_jpeg import coded
from tests.models.decode.files import noise, pillow
from tests.models.decode.honest_jpegs import honest

FLOORS = {"16 bytes": 0.5, "64 bytes": 0.75, "256 bytes": 0.9, "512 zeros": 0.9, "cut": 1.0}  # with slack for 60 files


def is_refused(data: bytes) -> bool:
    try:
        decode(data, max_pixels=10**6)
    except DamagedImage:
        return True
    return False


@pytest.mark.parametrize("kind", ENCODINGS)
def test_most_damage_is_found_and_none_in_sound_files(kind: str) -> None:
    files = list(encoded(kind, 60))
    assert not any(map(is_refused, files))
    random = np.random.default_rng(0)
    for name, damaged in DAMAGES.items():
        refused = sum(is_refused(damaged(data, random)) for data in files)
        assert refused >= FLOORS[name] * len(files), name


DETAIL = noise(64, 64, 3)
CUT = 40  # bytes before the end


@pytest.mark.parametrize("options", [*ENCODINGS.values(), {"subsampling": 0}], ids=str)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_cut_is_found_though_an_end_was_put_behind_it(mode: str, options: dict[str, object]) -> None:
    data = pillow(PIL.Image.fromarray(DETAIL).convert(mode), "JPEG", **options)
    assert damage_of(Jpeg(data)) is None
    first = data.index(b"\xff\xda") + 14
    for length in range(first, len(data) - 2, 97):
        for end in (b"", b"\xff\xd9"):
            assert is_refused(data[:length] + end), length


@pytest.mark.parametrize("padding", [1, 2, 8, 600])
@pytest.mark.parametrize("options", ENCODINGS.values(), ids=str)
def test_zeros_before_the_end_are_no_damage(padding: int, options: dict[str, object]) -> None:
    data = pillow(DETAIL, "JPEG", **options)
    padded = data[:-2] + bytes(padding) + data[-2:]
    np.testing.assert_array_equal(*(decode(each, max_pixels=10**6).pixels for each in (data, padded)))
    assert is_refused(data[:-600] + bytes(600) + data[-2:])


@pytest.mark.parametrize(
    "changed",
    [
        lambda data: data + b"anything",
        lambda data: data[:2] + b"\xff\xff" + data[2:],
        lambda data: data.replace(b"JFIF\0\1\1", b"JFIF\0\7\7"),  # a version that nobody knows
        lambda data: data.replace(b"\xff\xd9", b"\xff\xff\xff\xd9"),
    ],
    ids=["bytes behind its end", "fill bytes", "a later JFIF", "fill bytes before its end"],
)
def test_what_every_viewer_passes_over_is_no_damage(changed: object) -> None:
    data = pillow(DETAIL, "JPEG")
    assert changed(data) != data  # type: ignore[operator]
    np.testing.assert_array_equal(
        *(decode(each, max_pixels=10**6).pixels for each in (data, changed(data)))  # type: ignore[operator]
    )


@pytest.mark.parametrize("quality", [5, 50, 75, 95, 100])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_extremes_of_brightness_are_in_range(quality: int, mode: str, progressive: bool) -> None:
    board = np.kron(noise(8, 8, 3) // 128 * 255, np.ones((9, 9, 1), np.uint8))
    for pixels in (board, np.zeros_like(board), np.full_like(board, 255)):
        data = pillow(PIL.Image.fromarray(pixels).convert(mode), "JPEG", quality=quality, progressive=progressive)
        assert damage_of(Jpeg(data)) is None


@pytest.mark.parametrize("sign", ["0", "1"])
@pytest.mark.parametrize(("blocks", "damaged"), [(40, False), (65, False), (66, True), (500, True)])
def test_a_mean_beyond_1024_and_a_step_is_damage(blocks: int, damaged: bool, sign: str) -> None:
    rising = coded(blocks, dc=1, ac=0, block=f"0{sign}0")  # by a step of 16 each
    assert (damage_of(Jpeg(rising)) is not None) == damaged
    assert "brightness" in (damage_of(Jpeg(rising)) or "brightness")


def test_zeros_that_are_valid_codes_are_damage_but_in_flat_images() -> None:
    equal = coded(65, dc=0, ac=1, block="0" * 127)  # 63 coefficients of -1 in each block
    assert damage_of(Jpeg(equal)) == "a part of its data is zeros"
    assert damage_of(Jpeg(coded(9, dc=0, ac=1, block="0" * 127))) == "a part of its data is zeros"
    assert damage_of(Jpeg(coded(7, dc=0, ac=1, block="0" * 127))) is None  # too few to be sure
    assert damage_of(Jpeg(coded(5001, dc=0, ac=0, block="00"))) is None


@pytest.mark.parametrize("kind", ["baseline", "restarts"])
def test_zeros_amid_the_data_are_found_though_they_are_valid_codes(kind: str) -> None:
    data = pillow(DETAIL, "JPEG", **ENCODINGS[kind])
    blank = data[:-1000] + bytes(200) + data[-800:]
    assert damage_of(Jpeg(blank))
    flat = np.full((512, 512), 128, np.uint8)
    for options in ({}, {"optimize": True}, {"progressive": True}):
        assert damage_of(Jpeg(pillow(flat, "JPEG", **options))) is None  # zeros alone, if its codes are its own


@pytest.mark.parametrize(
    ("tables", "symbols"),
    [
        (b"\x10\1" + bytes(15) + b"\7", {0: 7}),
        (b"\x00\1" + bytes(15) + b"\7" + b"\x11\0\2" + bytes(14) + b"\5\6", {1: 5}),  # the first is of means
        (b"\x10\1" + bytes(14), {}),
    ],
)
def test_the_code_of_zeros_is_the_first_symbol_of_a_table(tables: bytes, symbols: dict[int, int]) -> None:
    assert first_symbols(tables) == symbols


def test_a_damaged_file_can_be_decoded_all_the_same_and_says_its_damage() -> None:
    data = pillow(DETAIL, "JPEG")
    for broken, says in ((data[:-CUT], "its end is missing"), (data[:-CUT] + data[-2:], "premature end")):
        source = recognised(broken).open(broken, probe(broken))
        assert source.read().shape == DETAIL.shape
        assert says in str(source.damage)
        with pytest.raises(DamagedImage, match=says):
            open_source(broken, max_pixels=10**6)


@pytest.mark.slow
def test_no_sound_jpeg_is_refused() -> None:
    refused = [error for data in honest(3000) if (error := decode_or_refuse(data))]
    assert refused == []


@pytest.mark.slow
def test_no_real_jpeg_is_refused() -> None:
    files = [path for path in real_data("").rglob("*.jp*g") if path.stem != "truncated"]
    refused = {path.name: decode_or_refuse(path.read_bytes()) for path in files}
    assert {name: error for name, error in refused.items() if error} == {}
    assert len(files) > 3000


def decode_or_refuse(data: bytes) -> str:
    try:
        decode(data, max_pixels=10**8)
    except ImageError as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_no_jpeg_in_a_real_tiff_is_refused() -> None:
    files = [path for path in real_data("").rglob("*") if path.suffix.lower() in (".tif", ".tiff", ".svs")]
    with_jpeg = [path for path in files if is_jpeg_inside(path.read_bytes())]
    refused = {path.name: decode_or_refuse(path.read_bytes()) for path in with_jpeg}
    assert {name: error for name, error in refused.items() if "damaged" in error} == {}
    assert with_jpeg


def is_jpeg_inside(data: bytes) -> bool:
    try:
        return probe(data).cost is not None and b"\xff\xd8" in data
    except (ImageError, tifffile.TiffFileError):
        return False
