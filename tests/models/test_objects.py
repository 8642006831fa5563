import numpy as np
import pytest

from models.image import Array
from models.objects import grow, separate, without_small
from tests.models.tiny_descriptions import classifier_fields, segmenter_fields
from tests.package_parts import spec_of

SPEC = spec_of(**segmenter_fields())  # nucleus >= .5, seed >= .6, at least 3 px


def discs(*circles: tuple[int, int, int], inner: float = 0.6) -> Array:
    """(2, 48, 64) float32: each (y, x, radius) is foreground, and a seed within `inner` of its radius."""
    y, x = np.mgrid[:48, :64]
    maps = np.zeros((2, 48, 64), np.float32)
    for cy, cx, radius in circles:
        distance = np.hypot(y - cy, x - cx) / radius
        maps[0][distance <= 1] = 1
        maps[1] = np.maximum(maps[1], np.clip(1.6 - inner - distance, 0, 1))
    return maps


def test_two_touching_discs_are_two_objects() -> None:
    labels = separate(discs((20, 20, 10), (20, 38, 10)), SPEC)
    assert labels.dtype == np.int32
    assert labels.max() == 2
    left, right = labels[20, 20], labels[20, 38]
    assert left != right
    assert (labels[:, :28][labels[:, :28] > 0] == left).all()  # the border runs where they touch, at x = 29
    assert (labels[:, 31:][labels[:, 31:] > 0] == right).all()


def test_without_the_seeds_they_would_be_one() -> None:
    maps = discs((20, 20, 10), (20, 38, 10))
    maps[1] = maps[0]
    assert separate(maps, SPEC).max() == 1


def test_every_foreground_pixel_belongs_to_an_object() -> None:
    maps = discs((20, 20, 10), (20, 38, 10), (40, 8, 5))
    np.testing.assert_array_equal(separate(maps, SPEC) > 0, maps[0] >= 0.5)


def test_a_region_that_no_seed_reached_is_an_object() -> None:
    maps = discs((20, 20, 10), (40, 50, 5))
    maps[1, 30:] = 0  # the second disc has no seed
    labels = separate(maps, SPEC)
    assert labels.max() == 2
    assert labels[40, 50] not in (0, labels[20, 20])


@pytest.mark.parametrize(("minimum", "count"), [(1, 2), (4, 2), (5, 1), (400, 0)])
def test_small_objects_are_dropped_and_the_rest_renumbered(minimum: int, count: int) -> None:
    labels = np.zeros((40, 40), np.int64)
    labels[1:3, 1:3] = 1  # 4 px
    labels[10:20, 10:20] = 2  # 100 px
    kept = without_small(labels, minimum=minimum)
    assert sorted(np.unique(kept)) == list(range(count + 1))
    assert kept[15, 15] == count


def test_nothing_is_no_object() -> None:
    assert separate(np.zeros((2, 8, 8), np.float32), SPEC).max() == 0


def test_thresholds_are_reached_at_equality() -> None:
    flat = np.full((8, 8), 0.5, np.float32)
    assert grow(flat, flat, threshold=0.5, seed_threshold=0.5, min_area_px=1).max() == 1
    assert grow(flat, flat, threshold=0.51, seed_threshold=0.5, min_area_px=1).max() == 0


def test_a_model_that_separates_no_objects_says_so() -> None:
    classifier = spec_of(**classifier_fields())
    with pytest.raises(ValueError, match="tiny-classifier does not separate objects"):
        separate(np.zeros((2, 8, 8), np.float32), classifier)
