"""Tests of masks: the class and the object of each pixel, counted by hand."""

import numpy as np

from service.tasks.mask import class_map, connected, interpret, layers, own_pixels
from tests.service.tasks.segmenter_specs import maps, spec


def test_softmax_takes_the_most_probable_class_whatever_its_threshold() -> None:
    found = class_map(maps((0.4, 0.35, 0.25), (0.1, 0.2, 0.7)), spec("a", "b", "c", activation="softmax"))
    assert found.tolist() == [[1, 3]]


def test_sigmoid_takes_the_most_probable_of_those_that_reach_their_threshold() -> None:
    found = class_map(maps((0.4, 0.3), (0.6, 0.3), (0.6, 0.7), (0.9, 0.35)), spec("a", "b", thresholds=(0.95, 0.3)))
    assert found.tolist() == [[2, 2, 2, 2]]
    assert class_map(maps((0.4, 0.2), (0.5, 0.5)), spec("a", "b")).tolist() == [[0, 1]]


def test_a_fixed_size_network_answers_in_the_images_pixels() -> None:
    probabilities = np.zeros((1, 4, 4), np.float32)
    probabilities[0, :, 2:] = 1
    mask = interpret(probabilities, spec("a"), size=(40, 80))
    assert mask.objects.shape == (40, 80)
    assert int((mask.objects > 0).sum()) == 40 * 40


def test_connected_pixels_of_one_class_are_an_object_and_the_background_has_none() -> None:
    classes = np.array([[1, 2, 2], [2, 1, 1], [3, 3, 1]], np.uint8)
    objects, object_class = connected(classes, spec("background", "a", "b", activation="softmax"))
    assert objects.tolist() == [[0, 1, 1], [2, 0, 0], [3, 3, 0]]  # corners alone do not connect
    assert object_class.tolist() == [0, 2, 2, 3]


def test_where_classes_overlap_each_has_a_layer_of_its_own() -> None:
    mask = interpret(maps((0.9, 0.6), (0.9, 0.1), (0.2, 0.6)), spec("a", "b"), size=(1, 3))
    assert mask.spec.classes_overlap
    assert mask.classes.tolist() == [[1, 1, 2]]
    assert own_pixels(mask, 2).tolist() == [[True, False, True]]  # beneath "a" too
    assert [layer.classes.tolist() for layer in layers(mask)] == [[[1, 1, 0]], [[2, 0, 2]]]
    assert [layer.objects.tolist() for layer in layers(mask)] == [[[1, 1, 0]], [[1, 0, 2]]]


def test_where_classes_exclude_one_another_there_is_one_layer() -> None:
    mask = interpret(maps((0.9, 0.1), (0.4, 0.6)), spec("a", "b", activation="softmax"), size=(1, 2))
    assert list(layers(mask)) == [mask]
    assert own_pixels(mask, 2).tolist() == [[False, True]]
