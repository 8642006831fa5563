"""Tests of the tables that show a JPEG's excess: no image of 8 bits leads beyond their bound, and some come near it."""

import numpy as np
import pytest

from models.decode.jpeg_header import Jpeg, Steps
from models.decode.jpeg_range import mean_alone, seen_step, visible
from models.image import Array
from tests.models.decode.files import noise, pillow

ORDER = sorted(range(64), key=lambda k: (k // 8 + k % 8, k // 8 if (k // 8 + k % 8) % 2 else k % 8))
WAVES = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) / (2 if u else 8**0.5) for x in range(8)] for u in range(8)])


def steps_of(quality: int) -> Steps:
    return Jpeg(pillow(noise(8, 8), "JPEG", quality=quality)).steps[1]


def in_order(blocks: Array) -> Array:
    """Coefficients (N, 8, 8) -> (N, 64), in the order of the file."""
    return blocks.reshape(-1, 64)[:, ORDER]


def blocks_of(coefficients: Array) -> Array:
    blocks = np.empty((len(coefficients), 64))
    blocks[:, ORDER] = coefficients
    return blocks.reshape(-1, 8, 8)


def seen(samples: Array, steps: Steps, smaller: bytes, *, halved: bool) -> Array:
    """What libjpeg makes of blocks (N, 8, 8) from -128 to 127, encoded with steps and decoded with smaller ones."""
    coefficients = in_order(WAVES @ samples @ WAVES.T)
    quantised = np.round(coefficients / steps)
    found = WAVES.T @ blocks_of(quantised * np.frombuffer(smaller, np.uint8)) @ WAVES
    return found.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)) if halved else found


def worst(steps: Steps, smaller: bytes) -> Array:
    """The blocks that lead each sample, and each mean of 2 x 2, as far as any can."""
    factors = np.frombuffer(smaller, np.uint8) / np.asarray(steps)
    to_coefficients = in_order(np.einsum("ux,vy->xyuv", WAVES, WAVES).reshape(64, 8, 8))
    responses = (to_coefficients * factors) @ to_coefficients.T  # (samples seen, samples)
    means = responses.reshape(4, 2, 4, 2, 64).mean(axis=(1, 3)).reshape(16, 64)
    return np.where(np.concatenate([responses, means]) > 0, 127, -128).reshape(-1, 8, 8)


@pytest.mark.parametrize(
    ("quality", "halved"), [*((each, True) for each in (20, 30, 50, 75, 90, 94)), (50, False), (75, False), (90, False)]
)
def test_no_image_leads_beyond_the_bound_and_some_come_near(quality: int, halved: bool) -> None:
    steps = steps_of(quality)
    table = visible(steps, halved=halved)
    assert table.furthest < 127
    hard = worst(steps, table.steps)
    found = np.abs(seen(hard, steps, table.steps, halved=halved)).max()
    assert 0.5 * table.furthest < found <= table.furthest
    for samples in (noise(500, 8, 8).astype(float) - 128, noise(500, 8, 8) // 128 * 255.0 - 128, -1.0 - hard):
        assert np.abs(seen(samples, steps, table.steps, halved=halved)).max() <= table.furthest


def test_equal_steps_become_equal_ones() -> None:
    table = visible((16,) * 64, halved=True)
    assert set(table.steps) == {12}
    assert 128 * 12 / 16 < table.furthest < 127


@pytest.mark.parametrize("steps", [(1,) * 64, (0,) * 64])
def test_where_no_excess_can_be_seen_the_mean_alone_is(steps: Steps) -> None:
    assert visible(steps, halved=True) == visible(steps, halved=False) == mean_alone(steps)
    assert mean_alone(steps) == (bytes([seen_step(steps[0])]) + bytes(63), 128)


def test_steps_of_16_bits_become_those_of_8() -> None:
    assert max(visible(tuple(range(60, 60 + 64 * 100, 100)), halved=True).steps) <= 255


@pytest.mark.parametrize("step", [1, 2, 3, 8, 9, 16, 100, 255, 1000, 65535])
def test_the_least_mean_out_of_range_is_seen(step: int) -> None:
    shown = seen_step(step)
    assert 1 <= shown <= 255
    least = (1024 + step) // step + 1  # quantised
    value = min(127, round(least * shown / 8))
    assert step == 1 or (8 * value - 4) * step > (1024 + step) * shown or least * step - 1024 - step < 4 * step / shown
