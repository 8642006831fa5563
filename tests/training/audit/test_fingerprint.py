"""Tests of fingerprints: what survives, what is told apart, and what has none."""

import io
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest

from models.image import Array
from tests.training.audit.audit_images import jpeg, texture
from training.audit.fingerprint import ORIENTATIONS, Fingerprint, fingerprint, orient, similar_pairs

SQUARE = np.array([[1, 2], [3, 4]])
INVERSE = {5: 6, 6: 5}  # a rotation by 90 degrees undoes one by 270; the others undo themselves


def printed(picture: Array) -> Fingerprint:
    found = fingerprint(picture[:, :, None] if picture.ndim == 2 else picture)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("number", "name", "wanted"),
    [
        (0, "unchanged", [[1, 2], [3, 4]]),
        (1, "mirrored left to right", [[2, 1], [4, 3]]),
        (2, "mirrored top to bottom", [[3, 4], [1, 2]]),
        (3, "rotated by 180 degrees", [[4, 3], [2, 1]]),
        (4, "mirrored about a diagonal", [[1, 3], [2, 4]]),
        (5, "rotated by 90 degrees", [[3, 1], [4, 2]]),
        (6, "rotated by 270 degrees", [[2, 4], [1, 3]]),
        (7, "mirrored about the other diagonal", [[4, 2], [3, 1]]),
    ],
)
def test_an_orientation_is_what_its_name_says(number: int, name: str, wanted: list[list[int]]) -> None:
    assert ORIENTATIONS[number] == name
    assert orient(SQUARE, number).tolist() == wanted
    assert orient(np.stack([SQUARE, SQUARE]), number)[1].tolist() == wanted


@pytest.mark.parametrize("number", range(8))
def test_a_turned_copy_is_found_and_named(number: int) -> None:
    (pair,) = similar_pairs([printed(texture(1)), printed(texture(2)), printed(orient(texture(1), number))])
    assert pair == (0, 2, pytest.approx(1, abs=0.01), ORIENTATIONS[INVERSE.get(number, number)])


def compressed(picture: Array) -> Array:
    return np.asarray(PIL.Image.open(io.BytesIO(jpeg(picture, quality=50))))


def halved(picture: Array) -> Array:
    return picture.reshape(32, 2, 32, 2).mean(axis=(1, 3))


@pytest.mark.parametrize(
    "change",
    [compressed, halved, lambda x: x * 1.2 + 10, lambda x: x.astype(np.uint16) * 257, lambda x: np.stack([x] * 3, 2)],
    ids=["compressed", "halved", "brighter", "16 bits", "in colour"],
)
def test_a_fingerprint_survives(change: Callable[[Array], Array]) -> None:
    (pair,) = similar_pairs([printed(texture(1)), printed(change(texture(1)))])
    assert pair[2] > 0.93


def test_other_pictures_are_no_pair() -> None:
    assert list(similar_pairs([printed(texture(number)) for number in range(70)])) == []  # more than one block
    assert list(similar_pairs([])) == []


def test_pairs_are_found_across_blocks() -> None:
    prints = [printed(texture(number)) for number in range(70)] + [printed(texture(3)), printed(texture(68))]
    assert [(i, j) for i, j, _, _ in similar_pairs(prints)] == [(3, 70), (68, 71)]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((64, 64, 1)),
        np.full((64, 64, 3), 200, np.uint8),
        texture(1)[:23, :, None],
        np.full((64, 64, 1), np.nan),
    ],
    ids=["black", "grey", "23 px high", "no numbers"],
)
def test_what_has_no_texture_has_no_fingerprint(picture: Array) -> None:
    assert fingerprint(picture) is None
