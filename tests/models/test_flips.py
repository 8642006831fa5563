"""Tests of mirroring: each combination of axes once, and back again."""

import numpy as np

from models.flips import mirrored, orientations


def test_every_combination_once_and_back_again() -> None:
    assert orientations(()) == ((),)
    assert orientations(("horizontal", "vertical", "horizontal")) == ((), (-1,), (-2,), (-1, -2))
    tensor = np.arange(24.0).reshape(2, 3, 4)
    for axes in orientations(("horizontal", "vertical")):
        assert (mirrored(mirrored(tensor, axes), axes) == tensor).all()
    assert mirrored(tensor, (-1,))[0, 0].tolist() == [3, 2, 1, 0]
