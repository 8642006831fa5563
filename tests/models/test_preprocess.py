import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.errors import NotFinite, UnsupportedImage
from models.image import Array
from models.preprocess import (
    AnyStep,
    Clip,
    EnsureDtype,
    ScaleLinear,
    ScaleRange,
    ZeroMeanUnitVariance,
    match_channels,
    pad,
    padding,
    percentiles,
    prepare,
    resize,
)

EACH = ("y", "x")
TOGETHER = ("channel", "y", "x")
RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 65536, (17, 23, 3), dtype=np.uint16) // np.array([1, 4, 16], np.uint16)
X = COLOUR.astype(np.float64)


def per_channel(function: object, *arguments: float) -> Array:
    return function(X, *arguments, axis=(0, 1), keepdims=True)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (EnsureDtype(), X),
        (ScaleLinear(gain=1 / 65535, offset=-0.5), X / 65535 - 0.5),
        (Clip(min=100, max=2000), np.minimum(np.maximum(X, 100), 2000)),
        (ScaleRange(axes=TOGETHER), X / (X.max() - X.min())),
        (
            ScaleRange(min_percentile=1, max_percentile=99.8),
            (X - per_channel(np.percentile, 1)) / (per_channel(np.percentile, 99.8) - per_channel(np.percentile, 1)),
        ),
        (ZeroMeanUnitVariance(), (X - per_channel(np.mean)) / per_channel(np.std)),
        (ZeroMeanUnitVariance(axes=TOGETHER), (X - X.mean()) / X.std()),
    ],
    ids=lambda value: repr(value) if not isinstance(value, np.ndarray) else "",
)
def test_a_step_is_its_formula(step: AnyStep, expected: Array) -> None:
    np.testing.assert_allclose(step(COLOUR), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("step", [EnsureDtype(), ScaleLinear(gain=2), ScaleRange(), ZeroMeanUnitVariance()])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_a_step_gives_float32_whatever_it_is_given(step: AnyStep, dtype: type) -> None:
    assert step(np.arange(12).reshape(2, 2, 3).astype(dtype)).dtype == np.float32


@pytest.mark.parametrize("step", [ScaleRange(), ZeroMeanUnitVariance()])
def test_a_constant_image_becomes_zero(step: AnyStep) -> None:
    np.testing.assert_array_equal(step(np.full((4, 5, 1), 200, np.uint8)), 0)


@pytest.mark.parametrize("axes", [EACH, TOGETHER])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@given(q=st.floats(0, 100), size=st.integers(1, 40), seed=st.integers(0, 99))
def test_percentiles_by_histogram_are_numpys(
    q: float, size: int, seed: int, dtype: type, axes: tuple[str, ...]
) -> None:
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (size, 3, 3), dtype=dtype, endpoint=True)
    over = (0, 1) if axes == EACH else (0, 1, 2)
    (ours,) = percentiles(pixels, (q,), axes=axes)  # type: ignore[arg-type]
    expected = np.percentile(pixels.astype(np.float64), q, axis=over, keepdims=True)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-9)


STEPS = (ScaleRange(min_percentile=1, max_percentile=99.8), Clip(min=0, max=1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [None, (20, 30)])
def test_a_16_bit_ramp_is_the_same_ramp_in_float(size: tuple[int, int] | None, channels: int) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    ours, same = (prepare(p, channels=channels, size=size, steps=STEPS) for p in (ramp, ramp.astype(np.float32)))
    np.testing.assert_allclose(ours, same, atol=1e-6)
    assert ours.shape == (channels, *(size or (256, 256)))
    assert len(np.unique(ours)) > 256 or size is not None  # more levels than 8 bits have


@pytest.mark.parametrize(
    ("pixels", "channels", "expected"),
    [
        ([[[7]]], 1, [7]),
        ([[[7]]], 3, [7, 7, 7]),
        ([[[1, 2, 3]]], 3, [1, 2, 3]),
        ([[[100, 0, 0]]], 1, [29.9]),  # Rec. 601
        ([[[0, 100, 0]]], 1, [58.7]),
        ([[[0, 0, 100]]], 1, [11.4]),
        ([[[65535, 65535, 65535]]], 1, [65535]),
    ],
)
def test_channels_are_matched(pixels: list[list[list[int]]], channels: int, expected: list[float]) -> None:
    matched = match_channels(np.array(pixels, np.uint16), channels)  # type: ignore[arg-type]
    np.testing.assert_allclose(matched, [[expected]], rtol=1e-6)


def test_two_channels_are_neither_grey_nor_colour() -> None:
    with pytest.raises(UnsupportedImage, match="2 channels"):
        match_channels(np.zeros((4, 4, 2)), 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("steps", [(), (ScaleLinear(gain=0.5, offset=-1.0),), (ScaleRange(axes=TOGETHER),)])
def test_grey_for_three_channels_is_as_if_colour_of_three_equal_ones(dtype: type, steps: tuple[AnyStep, ...]) -> None:
    grey = (RANDOM.random((20, 31, 1)) * 250).astype(dtype)
    before = grey.copy()
    prepared = [prepare(pixels, channels=3, size=(9, 12), steps=steps) for pixels in (grey, grey.repeat(3, axis=2))]
    np.testing.assert_array_equal(*prepared)
    assert all(tensor.flags.c_contiguous and tensor.dtype == np.float32 for tensor in prepared)
    np.testing.assert_array_equal(grey, before)  # no step works on the caller's own pixels


@pytest.mark.parametrize("size", [(5, 7), (50, 7), (16, 16), (1, 1)])
def test_resizing_a_constant_image_changes_nothing(size: tuple[int, int]) -> None:
    resized = resize(np.full((16, 16, 3), 40_000, np.uint16), size)
    assert resized.shape == (*size, 3)
    np.testing.assert_allclose(resized, 40_000)


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("size", [(9, 13), (40, 50)])
def test_resizing_has_no_preferred_side(size: tuple[int, int], flip: int) -> None:
    image = RANDOM.random((20, 30, 1), dtype=np.float32)
    np.testing.assert_allclose(resize(np.flip(image, flip), size), np.flip(resize(image, size), flip), atol=1e-5)


def test_halving_averages_like_a_triangle() -> None:
    edge = np.repeat(np.array([0.0, 100.0], np.float32), 8)[None, :, None].repeat(16, axis=0)
    np.testing.assert_allclose(resize(edge, (8, 8))[4, :, 0], [0, 0, 0, 12.5, 87.5, 100, 100, 100], atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted_and_refused(value: float) -> None:
    pixels = np.zeros((4, 4, 1), np.float32)
    pixels[1, :3] = value
    with pytest.raises(NotFinite, match="3 pixel values"):
        prepare(pixels, channels=1, size=None, steps=())


@pytest.mark.parametrize(
    ("length", "min_size", "step", "border", "expected"),
    [
        (64, 16, 16, 0, (0, 0)),
        (65, 16, 16, 0, (0, 15)),
        (3, 16, 16, 0, (0, 13)),
        (388, 188, 16, 92, (92, 92)),  # the U-Net paper's 572
        (389, 188, 16, 92, (92, 107)),
        (1, 188, 16, 92, (92, 95)),
    ],
)
def test_padding_facts(length: int, min_size: int, step: int, border: int, expected: tuple[int, int]) -> None:
    assert padding(length, min_size=min_size, step=step, border=border) == expected


@given(length=st.integers(1, 500), min_size=st.integers(1, 300), step=st.integers(1, 64), border=st.integers(0, 100))
def test_padding_is_the_least_that_fits(length: int, min_size: int, step: int, border: int) -> None:
    before, after = padding(length, min_size=min_size, step=step, border=border)
    padded = before + length + after
    assert before == border <= after
    assert padded >= min_size
    assert (padded - min_size) % step == 0
    assert padded == min_size or padded - step < length + 2 * border


def test_padding_mirrors() -> None:
    tensor = np.arange(3, dtype=np.float32).reshape(1, 1, 3)
    padded = pad(tensor, min_size=8, step=1, border=2)
    np.testing.assert_array_equal(padded[0, 2], [1, 0, 0, 1, 2, 2, 1, 0])
    assert padded.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        (ScaleRange, {"min_percentile": 50, "max_percentile": 50}),
        (ScaleRange, {"max_percentile": 0.998}),  # a fraction where a percentage belongs
        (ScaleRange, {"axes": ("y",)}),
        (ScaleLinear, {}),
        (ZeroMeanUnitVariance, {"eps": 0}),
        (Clip, {"min": 0}),
        (Clip, {"min": 0, "max": 1, "maximum": 1}),
        (EnsureDtype, {"dtype": "uint8"}),
    ],
    ids=repr,
)
def test_a_step_that_makes_no_sense_is_refused(step: type, fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        step(**fields)
