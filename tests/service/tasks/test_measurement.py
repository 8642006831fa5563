"""Tests of measurements: objects and classes, counted by hand."""

import numpy as np
import pytest

from service.errors import TooManyObjects
from service.tasks.mask import interpret
from service.tasks.measurement import measure
from tests.service.tasks.segmenter_specs import spec


def test_objects_of_two_classes_are_measured() -> None:
    a = np.zeros((6, 8), np.float32)
    a[0:2, 0:3] = 0.9
    a[4:6, 0:1] = 0.7
    b = np.zeros((6, 8), np.float32)
    b[1:5, 5:7] = 0.8
    mask = interpret(np.stack([a, b]), spec("a", "b"), size=(6, 8))
    classes, objects = measure(mask, pixel_size_um=2.0)
    assert [(o["id"], o["label"], o["area_px"], o["area_um2"]) for o in objects] == [
        (1, "a", 6, 24.0), (2, "a", 2, 8.0), (3, "b", 8, 32.0),
    ]  # fmt: skip
    assert [(o["centroid_px"]["x"], o["centroid_px"]["y"]) for o in objects] == [(1.0, 0.5), (0.0, 4.5), (5.5, 2.5)]
    assert [o["mean_probability"] for o in objects] == pytest.approx([0.9, 0.7, 0.8])
    assert objects[2]["bbox_px"] == {"x": 5, "y": 1, "width": 2, "height": 4}
    assert [(c.label, c.objects, c.area_px, c.area_um2) for c in classes] == [("a", 2, 8, 32.0), ("b", 1, 8, 32.0)]
    assert [c.area_um2 for c in measure(mask, pixel_size_um=None)[0]] == [None, None]


def test_classes_that_overlap_are_measured_each_by_itself() -> None:
    whole = np.full((4, 6), 0.7, np.float32)
    spots = np.zeros((4, 6), np.float32)
    spots[1:3, 0:2] = spots[0, 5] = 0.9  # within the whole, and more probable there
    mask = interpret(np.stack([whole, spots]), spec("whole", "spots"), size=(4, 6))
    classes, objects = measure(mask, pixel_size_um=None)
    assert [(c.label, c.objects, c.area_px, c.area_fraction) for c in classes] == [
        ("whole", 1, 24, 1.0), ("spots", 2, 5, 5 / 24)
    ]  # fmt: skip
    assert [(o["id"], o["label"], o["area_px"]) for o in objects] == [
        (1, "whole", 24),
        (2, "spots", 1),
        (3, "spots", 4),
    ]
    assert objects[0]["mean_probability"] == pytest.approx(0.7)
    assert mask.count == 3  # in a picture a pixel is of the most probable: the whole is what the spots leave, joined


def test_an_empty_mask_has_no_objects() -> None:
    mask = interpret(np.zeros((1, 5, 5), np.float32), spec("a"), size=(5, 5))
    assert mask.count == 0
    assert measure(mask, pixel_size_um=1.0)[1] == ()


def test_more_objects_than_the_image_has_memory_for_are_refused() -> None:
    """A checkerboard is half as many objects as pixels."""
    board = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)
    mask = interpret(board[None], spec("a"), size=(64, 64))
    with pytest.raises(TooManyObjects, match="There are 2,048 objects; of so few pixels at most 1,152 are measured"):
        measure(mask, pixel_size_um=None)
