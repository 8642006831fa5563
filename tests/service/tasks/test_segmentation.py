"""Probability maps -> masks and measurements, with answers counted by hand."""

import io

import numpy as np
import PIL.Image
import pytest

from models.image import Array
from models.source import Image
from models.spec import ModelSpec
from service.encode.colour import rgb
from service.tasks.mask import class_map, interpret
from service.tasks.measurement import measure
from service.tasks.segmentation import FORMATS, SegmentOptions, class_values, edges
from tests.package_parts import spec_of


def spec(*labels: str, activation: str = "sigmoid", thresholds: tuple[float, ...] = ()) -> ModelSpec:
    classes = [{"label": label, "threshold": t} for label, t in zip(labels, thresholds or [0.5] * len(labels))]
    return spec_of(stride=1, input={"channels": 1, "steps": []}, classes=classes, activation=activation)


def maps(*pixels: tuple[float, ...]) -> Array:
    """One tuple of class probabilities a pixel -> (C, 1, W)."""
    return np.array(pixels, np.float32).T[:, None, :]


def test_softmax_takes_the_most_probable_class_whatever_its_threshold() -> None:
    found = class_map(maps((0.4, 0.35, 0.25), (0.1, 0.2, 0.7)), spec("a", "b", "c", activation="softmax"))
    assert found.tolist() == [[1, 3]]


def test_sigmoid_takes_the_most_probable_of_those_that_reach_their_threshold() -> None:
    found = class_map(maps((0.4, 0.3), (0.6, 0.3), (0.6, 0.7), (0.9, 0.35)), spec("a", "b", thresholds=(0.95, 0.3)))
    assert found.tolist() == [[2, 2, 2, 2]]
    assert class_map(maps((0.4, 0.2), (0.5, 0.5)), spec("a", "b")).tolist() == [[0, 1]]


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


def test_a_fixed_size_network_answers_in_the_images_pixels() -> None:
    probabilities = np.zeros((1, 4, 4), np.float32)
    probabilities[0, :, 2:] = 1
    mask = interpret(probabilities, spec("a"), size=(40, 80))
    assert mask.objects.shape == (40, 80)
    assert int((mask.objects > 0).sum()) == 40 * 40


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
