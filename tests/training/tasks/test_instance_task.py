"""Tests of instance segmentation: core maps, crowded pixels, and the objects that maps give back."""

import numpy as np
import pytest

from training.tasks import TASKS
from training.tasks.instance_task import CROWDED_WEIGHT, Instance, core_map, crowded_pixels, separate_objects
from training.tasks.training_task import Decision


def test_core_peaks_once_an_object_and_falls_to_its_outline() -> None:
    objects = np.zeros((9, 14), np.int32)
    objects[1:8, 0:7], objects[1:8, 7:14] = 1, 2  # two squares that touch
    height = core_map(objects)
    assert height[4, 3] == height[4, 10] == 1
    assert height[4, 6] == height[4, 7] == 0.25  # 1 / 4: the first pixel inside, where they touch too
    assert (height[objects == 0] == 0).all()


def test_core_of_a_single_pixel_is_one() -> None:
    assert core_map(np.array([[0, 1, 0]], np.int32)).tolist() == [[0, 1, 0]]


def test_what_lies_between_two_objects_is_crowded() -> None:
    objects = np.zeros((5, 16), np.int32)
    objects[:, :4], objects[:, 5:8], objects[:, 14:] = 1, 2, 3
    assert np.flatnonzero(crowded_pixels(objects)[2]).tolist() == [3, 4, 5]  # not the gap of 6 px to the third


def test_true_maps_give_back_the_objects() -> None:
    objects = np.zeros((40, 60), np.int32)
    y, x = np.mgrid[:40, :60]
    for number, centre in enumerate([18, 34], start=1):
        objects[((y - 20) ** 2 + (x - centre) ** 2 < 81) & (objects == 0)] = number
    found = separate_objects(TASKS["instance"].target(objects, 1), Decision(thresholds=(0.5,)))
    assert found.max() == 2
    assert ((found > 0) == (objects > 0)).all()


def test_a_target_is_objects_their_cores_and_the_weight_of_what_is_crowded() -> None:
    """Two objects a pixel apart: 6 where a window of 5 pixels sees both, else 1."""
    truth = np.array([[7, 7, 7, 7, 0, 3, 3, 3]], np.int32)
    objects, cores, weight = Instance().target(truth, 1)
    assert objects[0].tolist() == [1, 1, 1, 1, 0, 1, 1, 1]
    assert cores[0].tolist() == [1, 1, 1, 1, 0, 1, 1, 1]  # each a pixel high
    assert weight[0].tolist() == [1, 1, 1, CROWDED_WEIGHT, CROWDED_WEIGHT, CROWDED_WEIGHT, 1, 1]


def halves(*probabilities: float) -> np.ndarray:
    """Maps (2, 8, 8 n) of foreground and cores, of an equal probability in each of n squares of 8 x 6 pixels."""
    maps = np.zeros((2, 8, 8 * len(probabilities)), np.float32)
    for number, probability in enumerate(probabilities):
        maps[:, :, 8 * number : 8 * number + 6] = probability
    return maps


def test_a_decision_finds_the_threshold_between_objects_and_background() -> None:
    """What is there has 0.58, what is not 0.52: only 0.55 tells them apart, though both are above one half."""
    maps = np.clip(halves(0.58, 0.52), 1e-6, None)
    truth = np.zeros((8, 16), np.int32)
    truth[:, :6] = 1
    decision = Instance().decide([np.log(maps / (1 - maps))], [truth])
    assert decision.thresholds == (0.55,)
    assert np.array_equal(separate_objects(maps, decision), truth)


@pytest.mark.parametrize(
    ("maps", "ap50", "dice"),
    [(halves(0.9, 0.9), 1, 1), (halves(0.9, 0.1), 1 / 2, 2 / 3), (halves(0.1, 0.1), 0, 0)],  # both, one, none
)
def test_scores_count_objects_and_pixels(maps: np.ndarray, ap50: float, dice: float) -> None:
    truth = np.zeros((8, 16), np.int32)
    truth[:, :6], truth[:, 8:14] = 1, 2
    scores = Instance().scores([maps], [truth], Decision(thresholds=(0.5,)))
    assert scores["ap50"](np.arange(1)) == pytest.approx(ap50)
    assert scores["dice"](np.arange(1)) == pytest.approx(dice)
