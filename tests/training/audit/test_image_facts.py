"""Tests of the facts of an image: borders, metadata, classes and objects, each of a picture drawn for it."""

from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from models.image import Array
from tests.training.audit.audit_images import jpeg, put, texture
from training.audit.image_facts import classes_in, gather_facts, header, inspect_example, margins, object_sides
from training.data.examples import DataError, Example, TaskName, constant, read_image

PICTURE = texture(1)[:, :, None]
MASK = np.array(
    [
        [1, 1, 1, 0, 2],
        [0, 0, 0, 0, 2],
        [1, 0, 0, 0, 0],
    ],
    np.int32,
)


def framed(top: int, bottom: int, left: int, right: int, *, noise: int = 0) -> Array:
    """(64, 64, 1) with so many px of black at each side, give or take the noise."""
    image = np.zeros((64, 64, 1), np.uint8)
    image[::2] = noise
    inner = image[top : 64 - bottom, left : 64 - right]
    inner[:] = np.where(np.indices(inner.shape).sum(axis=0) % 2, 255, 100)
    return image


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (framed(0, 0, 0, 0), (0, 0, 0, 0)),
        (framed(3, 0, 0, 0), (3, 0, 0, 0)),
        (framed(1, 2, 3, 4), (1, 2, 3, 4)),
        (framed(1, 2, 3, 4, noise=7), (1, 2, 3, 4)),  # below 255 / 32
        (framed(0, 0, 3, 4, noise=9), (0, 0, 0, 0)),
        (np.full((4, 6, 3), 5, np.uint8), (4, 4, 6, 6)),  # nothing but margin
    ],
)
def test_margins_are_the_flat_rows_and_columns_at_each_side(image: Array, wanted: tuple[int, ...]) -> None:
    assert margins(image) == wanted


@pytest.mark.parametrize(
    ("task", "classes", "sides"),
    [
        ("semantic", {0, 1, 2}, [1, 2, 3]),  # connected pixels of a class, but not the background's
        ("instance", set(), [2, 3]),  # object 1 in two pieces is one, 3 px wide and high
        ("multilabel_semantic", {0, 1}, [1, 2, 3]),  # bits: 1 is the first class, 2 the second
    ],
)
def test_classes_and_objects_of_a_mask(task: TaskName, classes: set[int], sides: list[int]) -> None:
    assert classes_in(MASK, task=task) == classes
    assert sorted(object_sides(MASK, task=task)) == sides


def test_bits_that_overlap_are_classes_each() -> None:
    assert classes_in(np.array([[0, 5]]), task="multilabel_semantic") == {0, 2}
    assert object_sides(np.array([[1, 3, 2]]), task="multilabel_semantic") == (2, 2)


@pytest.mark.parametrize(
    ("save", "wanted"),
    [
        ({"format": "PNG"}, {"suffix": ".img", "format": "PNG", "mode": "L", "quality": 0, "kinds of tags": ""}),
        ({"format": "PNG", "dpi": (300, 300)}, {"kinds of tags": "dpi"}),
        ({"format": "JPEG"}, {"format": "JPEG", "kinds of tags": "", "dots_per_inch": "None", "Make": "None"}),
    ],
)
def test_a_header_is_what_the_file_says_of_itself(save: dict, wanted: dict[str, object], tmp_path: Path) -> None:
    PIL.Image.fromarray(texture(1)).save(tmp_path / "a.IMG", **save)
    found = header(tmp_path / "a.IMG")
    assert {name: found[name] for name in wanted} == wanted


def test_more_compression_is_another_quality(tmp_path: Path) -> None:
    for quality in (50, 90):
        (tmp_path / f"{quality}.jpg").write_bytes(jpeg(texture(1), quality=quality))
    assert header(tmp_path / "50.jpg")["quality"] > header(tmp_path / "90.jpg")["quality"] > 0
    (tmp_path / "notes.tif").write_text("no image")
    assert header(tmp_path / "notes.tif") == {"suffix": ".tif"}


def example(image: Array, truth: Array | int = 0, *, name: str = "a") -> Example:
    return Example(name, name, "", None, constant(image), constant(truth))


def test_an_image_has_its_facts_and_a_label_or_a_masks() -> None:
    labelled = inspect_example(example(PICTURE, 3), "train", task="multiclass")
    assert (labelled.shape, labelled.dtype, labelled.split, labelled.truth) == ((64, 64, 1), "uint8", "train", 3)
    assert (labelled.present, labelled.object_sides_px, labelled.fingerprint is None) == (frozenset(), (), False)
    masked = inspect_example(example(PICTURE[:3, :5], MASK), "test", task="semantic")
    assert (masked.truth, masked.present, sorted(masked.object_sides_px)) == (None, {0, 1, 2}, [1, 2, 3])


def test_a_digest_is_of_pixels_shape_and_depth() -> None:
    flat = PICTURE.reshape(32, 128, 1)
    other = PICTURE.copy()
    other[0, 0] += 1
    images = [PICTURE, PICTURE.copy(), flat, PICTURE.view(np.int8), other]
    digests = [inspect_example(example(image), "train", task="multiclass").digest for image in images]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_what_cannot_be_read_says_why_and_the_rest_is_gathered_in_order(tmp_path: Path) -> None:
    def damaged() -> Array:
        raise DataError("mask.png is damaged.")

    put(tmp_path / "good.png", texture(1))
    read = [partial(read_image, tmp_path / name) for name in ("good.png", "nowhere.png")]
    good, missing = (Example(f"{n}", "", "", None, image, constant(0)) for n, image in enumerate(read))
    undrawn = Example("c", "", "", None, constant(PICTURE), damaged)
    parts = {"train": [good, missing], "test": [undrawn, example(PICTURE, MASK, name="d")]}
    facts = gather_facts(parts, task="semantic")
    assert [(fact.example.name, fact.split) for fact in facts] == [
        ("0", "train"), ("1", "train"), ("c", "test"), ("d", "test")
    ]  # fmt: skip
    assert [bool(fact.image_error) for fact in facts] == [False, True, False, False]
    assert [fact.mask_error for fact in facts] == [
        "", "", "mask.png is damaged.", "d: the mask is (3, 5), its image (64, 64) (H, W)."
    ]  # fmt: skip
    assert facts[0].header["format"] == "PNG"
    assert [fact.digest == b"" for fact in facts] == [False, True, True, True]
