"""Masks with unknown values or of another size."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.audit.audit_images import found, get, pairs, put


@pytest.mark.parametrize(
    ("value", "where"),
    [(3, np.s_[:2, :2]), (1, np.s_[:, 60:])],  # no class; no fault, for this one cuts nothing off
    ids=["value", "class"],
)
def test_a_mask_with_a_value_that_is_no_class(value: int, where: tuple[slice, slice], tmp_path: Path) -> None:
    recipe = pairs(tmp_path)
    mask = get(tmp_path / "masks" / "05.png")
    mask[where] = value
    put(tmp_path / "masks" / "05.png", mask)
    assert [finding.name for finding in found(recipe)] == (["masks"] if value == 3 else [])


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    recipe = pairs(tmp_path)
    put(tmp_path / "masks" / "05.png", np.zeros((64, 60), np.uint8))
    assert [finding.name for finding in found(recipe)] == ["masks"]
