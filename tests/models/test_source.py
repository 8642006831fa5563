"""Sources: any implementation reads the same pixels as the arrays behind it, whole and in parts."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decode import open_source
from models.errors import UnsupportedImage
from models.image import Array
from models.source import AXES, ArraySource, Level, RegionError, Source, Spacing, image_of, no_level, ranges
from tests.models.decode.files import FILES, noise, png, tiff


@dataclass
class Computed:
    """A pyramid that holds no pixel: at (y, x) of level n stands 1000 y + x + n, computed for the region that is read.

    It stands for slides, whose levels do not fit in memory.
    """

    axes = "YX"
    dtype = np.dtype(np.int64)
    format = "computed"
    spacing = {"Y": Spacing(0.25), "X": Spacing(0.25)}  # noqa: RUF012
    orientation: dict[str, str]
    levels = (Level((64, 96), (1, 1)), Level((32, 48), (2, 2)), Level((8, 12), (8, 8)))

    def read(self, region: Any = None, level: int = 0) -> Array:
        if not 0 <= level < len(self.levels):
            raise no_level(level, len(self.levels))
        y, x = (np.arange(s.start, s.stop) for s in ranges(region or {}, self.axes, self.levels[level].shape))
        return 1000 * y[:, None] + x + level


def computed() -> tuple[Source, list[Array]]:
    whole = [1000 * np.arange(h)[:, None] + np.arange(w) + n for n, (h, w) in enumerate([(64, 96), (32, 48), (8, 12)])]
    return Computed(orientation={}), whole


def pyramid() -> tuple[Source, list[Array]]:
    whole = noise(64, 96, 3)
    levels = [whole, whole[::2, ::2], whole[::8, ::8]]
    return ArraySource(whole, "YXS", spacing={"Y": Spacing(0.5), "X": Spacing(0.5)}, coarser=tuple(levels[1:])), levels


def z_stack() -> tuple[Source, list[Array]]:
    stack = noise(2, 5, 20, 30, dtype=np.uint16)
    spacing = {"Z": Spacing(2.0), "Y": Spacing(0.001, "mm"), "X": Spacing(1.0)}
    return ArraySource(stack, "CZYX", "stack", spacing, orientation={"Z": "S", "Y": "P", "X": "L"}), [stack]


def time_series() -> tuple[Source, list[Array]]:
    series = noise(3, 4, 6, 7, dtype=np.float32)
    return ArraySource(series, "TZYX"), [series]


def signal() -> tuple[Source, list[Array]]:
    return ArraySource(noise(4, 100), "CX"), [noise(4, 100)]


def of_file(make: Callable[[Array], bytes], *shape: int) -> Callable[[], tuple[Source, list[Array]]]:
    return lambda: (open_source(make(noise(*shape)), max_pixels=10_000), [noise(*shape)])


SOURCES = {
    "a pyramid in memory": pyramid,
    "a pyramid that is computed": computed,
    "a z-stack of two channels": z_stack,
    "a time series": time_series,
    "a signal": signal,
    "a grey PNG": of_file(png, 9, 11),
    "a colour PNG": of_file(png, 9, 11, 3),
    "a TIFF": of_file(tiff, 9, 11),
}
conforms = pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
Make = Callable[[], tuple[Source, list[Array]]]


@conforms
def test_axes_levels_and_dtype_describe_what_is_read(make: Make) -> None:
    source, wanted = make()
    assert set(source.axes) <= set(AXES)
    assert len(set(source.axes)) == len(source.axes)
    assert [level.shape for level in source.levels] == [array.shape for array in wanted]
    for number, array in enumerate(wanted):
        pixels = source.read(level=number)
        np.testing.assert_array_equal(pixels, array)
        assert pixels.dtype == source.dtype == array.dtype
    assert source.format


@conforms
def test_levels_grow_coarser_by_what_they_say(make: Make) -> None:
    source, _ = make()
    first = source.levels[0]
    assert set(first.downsample) == {1}
    for finer, coarser in pairwise(source.levels):
        assert all(c >= f for c, f in zip(coarser.downsample, finer.downsample))
    for level in source.levels:
        for whole, part, factor in zip(first.shape, level.shape, level.downsample):
            assert part == pytest.approx(whole / factor, abs=1)


@conforms
def test_spacing_and_orientation_are_of_axes_that_there_are(make: Make) -> None:
    source, _ = make()
    assert set(source.spacing) | set(source.orientation) <= set(source.axes)
    assert all(spacing.um > 0 for spacing in source.spacing.values())


@conforms
@given(data=st.data())
def test_a_region_is_that_part_of_the_whole(make: Make, data: st.DataObject) -> None:
    source, wanted = make()
    level = data.draw(st.integers(0, len(wanted) - 1))
    region, where = {}, []
    for axis, length in zip(source.axes, wanted[level].shape):
        if data.draw(st.booleans()):
            start = data.draw(st.integers(0, length - 1))
            region[axis] = slice(start, data.draw(st.integers(start + 1, length + 10)))  # it may go on beyond
        where.append(region.get(axis, slice(None)))
    np.testing.assert_array_equal(source.read(region, level), wanted[level][tuple(where)])


@conforms
def test_a_range_may_be_open(make: Make) -> None:
    source, wanted = make()
    np.testing.assert_array_equal(source.read({"X": slice(3, None)}), source.read({"X": slice(3, 10**6)}))
    np.testing.assert_array_equal(source.read({"X": slice(None, 3)}), source.read({"X": slice(0, 3)}))
    np.testing.assert_array_equal(source.read({}), wanted[0])


@conforms
@pytest.mark.parametrize(
    ("region", "says"),
    [
        ({"Q": slice(0, 1)}, "has no axis Q; its axes are"),
        ({"X": slice(-3, 2)}, "X from -3 to 2 is no part of the image"),
        ({"X": slice(2, 2)}, "X from 2 to 2"),
        ({"X": slice(3, 1)}, "X from 3 to 1"),
        ({"X": slice(1000, 1001)}, "X from 1000 to 1001"),
        ({"X": slice(0, 4, 2)}, "X from 0 to 4 in steps of 2"),
    ],
)
def test_a_region_that_there_is_not_is_refused(make: Make, region: dict[str, slice], says: str) -> None:
    source, _ = make()
    with pytest.raises(RegionError, match=says):
        source.read(region)


@conforms
@pytest.mark.parametrize("level", [-1, 3])
def test_a_level_that_there_is_not_is_refused(make: Make, level: int) -> None:
    source, _ = make()
    with pytest.raises(RegionError, match=f"no level {level}; it has {len(source.levels)}"):
        source.read(level=level)


@pytest.mark.parametrize(("axes", "says"), [("YY", "each once"), ("YQ", "letters of TCZYXS"), ("YXS", "not those of")])
def test_axes_must_be_those_of_the_array(axes: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ArraySource(np.zeros((2, 2)), axes)


def test_spacing_has_a_unit() -> None:
    assert (Spacing(0.5).um, Spacing(0.5, "mm").um) == (0.5, 500)


def test_an_image_is_a_plane_or_a_signal_read_whole() -> None:
    assert image_of(ArraySource(noise(4, 6), "YX")).pixels.shape == (4, 6, 1)
    assert image_of(ArraySource(noise(4, 6, 3), "YXS")).pixels.shape == (4, 6, 3)
    np.testing.assert_array_equal(image_of(ArraySource(noise(2, 6), "CX")).pixels[0], noise(2, 6).T)
    with pytest.raises(UnsupportedImage, match="axes CZYX"):
        image_of(z_stack()[0])


@pytest.mark.parametrize(
    ("spacing", "side"),
    [
        ({}, None),
        ({"X": Spacing(0.5)}, None),
        ({"Y": Spacing(0.5), "X": Spacing(0.25)}, None),
        ({"Y": Spacing(0.5), "X": Spacing(0.0005, "mm")}, 0.5),
        ({"Y": Spacing(1e155), "X": Spacing(1e155)}, None),
        ({"Y": Spacing(0.0), "X": Spacing(0.0)}, None),
    ],
)
def test_an_image_has_the_pixel_size_of_square_pixels(spacing: dict[str, Spacing], side: float | None) -> None:
    assert image_of(ArraySource(noise(4, 6), "YX", spacing=spacing)).pixel_size_um == side


@pytest.mark.parametrize("name", FILES)
def test_every_files_source_is_its_image(name: str) -> None:
    source = open_source(FILES[name], max_pixels=10_000)
    image = image_of(source)
    assert source.axes == ("YX" if image.channels == 1 else "YXS")
    assert source.format == image.format
    assert source.dtype == image.pixels.dtype
