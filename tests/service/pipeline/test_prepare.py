"""Tests of preparation: which images get which warnings, and which are refused before they are decoded."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from models.errors import TooManyPixels
from models.image import Array
from models.preprocess import prepare
from models.source import Image, Source
from service.encode.png_writer import png
from service.inference import InferenceFailed
from service.pipeline.prepare import check_output, deviations_of, figures_of, input_warnings, prepare_image
from service.sandbox.decode_process import Admit
from service.sandbox.decoders import InProcess
from service.scheduling.memory_budget import NOTHING, Held, MemoryBudget
from service.scheduling.work import Deadline, Reservation, Work
from tests.package_parts import spec_of
from tests.service.image_files import grey, tiff

RANDOM = np.random.default_rng(0).integers(0, 256, (20, 20, 1)).astype(np.uint8)
COLOUR = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
USUAL = {
    "mean": {"low": 100, "high": 150},
    "std": {"low": 50, "high": 90},
    "p1": {"low": 0, "high": 20},
    "p99": {"low": 200, "high": 255},
}


def codes(pixels: Array, *, sent_um: float | None = None, size: object = None, **fields: object) -> list[str]:
    spec = spec_of(input={"channels": 1, "size": size, "steps": []}, stride=1, **fields)
    tensor = prepare(pixels, channels=1, size=spec.input.size, steps=())
    return [found.code for found in input_warnings(Image(pixels, "png", sent_um), figures_of(tensor, spec), spec)]


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (RANDOM, {}, []),
        (RANDOM, {"intensity": USUAL, "size": (20, 20)}, []),
        (np.full((9, 9, 1), 125, np.uint8), {}, ["constant_image"]),
        (COLOUR, {}, ["colour_discarded"]),
        (np.repeat(RANDOM, 3, axis=2), {}, []),  # grey, stored as colour
        (RANDOM, {"size": (80, 80)}, []),
        (RANDOM, {"size": (81, 81)}, ["upscaled"]),
        (RANDOM, {"size": (20, 14)}, []),
        (RANDOM, {"size": (20, 13)}, ["aspect_ratio"]),
        (RANDOM // 2, {"intensity": USUAL}, ["unlike_training_data"] * 3),  # the 1st percentile alone is as usual
        (RANDOM, {"intensity": {**USUAL, "std": {"low": 0, "high": 10}}}, ["unlike_training_data"]),
        (RANDOM, {"sent_um": 0.5}, []),
        (RANDOM, {"sent_um": 0.5, "pixel_size_um": 0.4}, []),
        (RANDOM, {"sent_um": 0.5, "pixel_size_um": 0.2}, ["pixel_size_differs"]),
        (RANDOM, {"sent_um": 0.2, "pixel_size_um": 0.5}, ["pixel_size_differs"]),
    ],
)
def test_an_image_gets_the_warnings_it_deserves(pixels: Array, options: dict[str, object], expected: list[str]) -> None:
    assert codes(pixels, **options) == expected


def test_a_figure_deviates_by_its_place_between_what_training_images_have() -> None:
    spec = spec_of(input={"channels": 1, "steps": []}, stride=1, intensity={**USUAL, "p1": {"low": 3, "high": 3}})
    figures = {"mean": 125.0, "std": 90.0, "p99": 172.5, "p1": 3.0}
    assert deviations_of(figures, spec) == {"mean": 0.0, "std": 1.0, "p99": -2.0}  # a range of no width says nothing


def test_where_nothing_is_known_of_the_training_images_nothing_deviates() -> None:
    spec = spec_of(input={"channels": 1, "steps": []}, stride=1)
    assert deviations_of(figures_of(np.zeros((1, 4, 4), np.float32), spec), spec) == {}


GREY = spec_of(input={"channels": 1, "size": None, "steps": []}, stride=1)


class Elsewhere(InProcess):
    """Decoders that count the files that they are given."""

    count = 0

    @contextmanager
    def opened(self, data: bytes, deadline: Deadline, *, admit: Admit) -> Iterator[Source]:
        self.count += 1
        with super().opened(data, deadline, admit=admit) as source:
            yield source


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("data", "elsewhere"),
    [
        (grey(0, width=224, height=224), 0),
        (png(np.zeros((1024, 1024), np.uint8)), 0),
        (png(np.zeros((1024, 1025), np.uint8)), 1),  # many pixels
        (png(np.zeros((10, 10), np.uint8)) + bytes(2**20), 1),  # many bytes, whatever they are
        (tiff(np.zeros((10, 10), np.uint8), description="x" * 2**20), 1),
    ],
)
async def test_only_a_small_file_is_decoded_in_this_process(data: bytes, elsewhere: int) -> None:
    decoders = Elsewhere()
    prepared = prepare_image(data, GREY, Work(Deadline.after(60)), decoders)
    assert prepared.tensor.any() == False  # noqa: E712  numpy's
    assert decoders.count == elsewhere


@pytest.mark.anyio
async def test_a_block_that_is_too_large_is_refused_before_memory_is_reserved() -> None:
    data = tiff(np.zeros((2064, 2064), np.uint8), tile=(4096, 4096), compression="zlib")
    budget = MemoryBudget(2**30)
    budget.resize(NOTHING, Held.of(2**30))  # full: an image of this size would have to wait
    with Reservation(budget) as reservation:
        work = Work(Deadline.after(60), reservation=reservation, max_pixels=2064 * 2064)
        with pytest.raises(TooManyPixels, match="4096 x 4096"):
            prepare_image(data, GREY, work, InProcess())
    assert budget.reserved_bytes == 2**30


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (np.full((1, 1, 8, 6), 0.5), None),
        (np.full((1, 1, 8, 6), 1.0000001), None),
        (np.full((1, 1, 8, 6), 1.1), "are not between 0 and 1"),
        (np.full((1, 1, 8, 6), -0.1), "are not between 0 and 1"),
        (np.full((1, 1, 6, 8), 0.5), r"is \(1, 1, 6, 8\); rdf.yaml describes \(1, 1, 8, 6\)"),
        (np.full((0, 1, 8, 6), 0.5), r"is \(0, 1, 8, 6\)"),
    ],
)
def test_outputs_are_as_the_package_describes_them(output: Array, reason: str | None) -> None:
    spec = spec_of(input={"channels": 1, "size": None, "steps": []}, stride=1)
    args = ("probabilities", spec, np.zeros((1, 8, 6), np.float32), Image(RANDOM, "png"))
    if reason is None:
        check_output(output, *args)
    else:
        with pytest.raises(InferenceFailed, match=reason):
            check_output(output, *args)
