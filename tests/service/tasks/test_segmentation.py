"""Tests of segmentation: values, edges and pictures of masks, with answers worked out by hand."""

import io

import numpy as np
import PIL.Image
import pytest

from models.source import Image
from service.encode.colour import rgb
from service.tasks.mask import interpret
from service.tasks.segmentation import FORMATS, SegmentOptions, class_values, edges
from tests.service.tasks.segmenter_specs import spec


@pytest.mark.parametrize(
    ("labels", "values"),
    [(("a",), [0, 1]), (("background", "a", "b"), [0, 0, 1, 2]), (("a", "background", "b"), [0, 1, 0, 2])],
)
def test_background_is_0_in_a_mask_and_the_others_count_up(labels: tuple[str, ...], values: list[int]) -> None:
    assert class_values(spec(*labels)).tolist() == values


def test_edges_are_where_a_neighbour_is_another() -> None:
    objects = np.zeros((5, 7), int)
    objects[1:4, 1:4], objects[1:4, 4:6] = 1, 2
    shown = ["".join("#" if edge and here else "." for edge, here in zip(*row)) for row in zip(edges(objects), objects)]
    assert shown == [".......", ".#####.", ".#.###.", ".#####.", "......."]


def test_a_mask_to_look_at() -> None:
    pixels = np.zeros((3, 4), np.float32)
    pixels[1, 1:3] = 0.9
    found = interpret(np.stack([0 * pixels, pixels]), spec("a", "b"), size=(3, 4))
    image = Image(np.zeros((3, 4, 1), np.uint8), format="png")
    shown = {kind: FORMATS[kind][1](found, image, SegmentOptions())[0] for kind in ("binary", "colours")}
    read = {kind: PIL.Image.open(io.BytesIO(body)) for kind, body in shown.items()}
    assert {kind: picture.mode for kind, picture in read.items()} == {"binary": "1", "colours": "P"}
    assert np.array_equal(np.asarray(read["binary"]), pixels > 0)
    coloured = np.asarray(read["colours"].convert("RGB"))
    assert np.array_equal(coloured, np.where(pixels[:, :, None] > 0, rgb(found.spec.classes[1].colour), 0))
