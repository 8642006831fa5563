import numpy as np
import pytest

from models.image import upright, without_alpha
from tests.models.decode.files import STORED, UPRIGHT


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_follows_the_standard(orientation: int) -> None:
    turned = upright(STORED[:, :, None], orientation)
    np.testing.assert_array_equal(turned[:, :, 0], np.array(UPRIGHT[orientation]) * 40)
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_is_none_changes_nothing(orientation: int) -> None:
    assert upright(STORED[:, :, None], orientation).shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("stored", "kept"), [((4, 5), 1), ((4, 5, 1), 1), ((4, 5, 2), 1), ((4, 5, 3), 3), ((4, 5, 4), 3)]
)
def test_alpha_is_dropped(stored: tuple[int, ...], kept: int) -> None:
    assert without_alpha(np.zeros(stored)).shape == (4, 5, kept)
