from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data import real_data
from tests.training.data.files import image, load
from training.data.examples import DataError

CLASSES = {"lungs": ("Left Lung", "Right Lung"), "opacities": ("Consolidation",)}
ABOUT = "patientid,finding,view,sex,filename\n7,COVID-19,PA,M,a.png\n"


def small(root: Path, *, top: int = 2) -> dict[str, Any]:
    """One image of 10 x 20 px; a lung left and one right of it, and an opacity within the left one."""
    image(root / "images" / "a.png", size=(20, 10))
    drawn = (("Left Lung", 0, 6, (8, 4)), ("Right Lung", 0, 0, (8, 4)), ("Consolidation", top, 6, (2, 2)))
    rows = ["Filename,Template Name,Mask,Top,Left"]
    for number, (name, upper, left, size) in enumerate(drawn):
        image(root / "masks" / f"{number}.png", np.full((*size, 3), (0, 99, 0), np.uint8))
        rows.append(f"a.png,{name},masks/{number}.png,{upper},{left}")
    rows.append("a.png,Consolidation,,0,0")  # nothing was drawn
    (root / "structure.csv").write_text("\n".join(rows) + "\n")
    (root / "metadata.csv").write_text(ABOUT)
    return {"loader": "covid_cxr", "path": root, "classes": CLASSES}


def test_masks_are_pasted_where_they_were_cut_out(tmp_path: Path) -> None:
    data = load(**small(tmp_path))
    (example,) = data.examples
    assert data.classes == ("lungs", "opacities")
    assert (example.group, example.columns) == ("7", {"finding": "COVID-19", "view": "PA", "sex": "M"})
    wanted = np.zeros((20, 10), int)
    wanted[:8, :4] = wanted[:8, 6:] = 1
    wanted[2:4, 6:8] = 3
    np.testing.assert_array_equal(example.truth(), wanted)


def test_image_and_mask_are_made_smaller_together(tmp_path: Path) -> None:
    (example,) = load(**small(tmp_path), longest_side_px=16).examples
    assert example.image().shape == (16, 8, 1)
    assert example.image().dtype == np.uint8
    assert example.truth().shape == (16, 8)
    assert (example.truth() & 1).sum() == pytest.approx(64 * (16 / 20) ** 2, abs=8)


def test_a_mask_beyond_its_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"masks/2\.png: 2 x 2 at \(6, 19\) exceeds its image, 10 x 20"):
        load(**small(tmp_path, top=19)).examples[0].truth()


@pytest.mark.parametrize("name", ["images/a.png", "masks/1.png", "structure.csv", "metadata.csv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    recipe = small(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=name):
        load(**recipe)


def test_an_image_of_no_patient_is_named(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    (tmp_path / "metadata.csv").write_text(ABOUT.replace("a.png", "b.png"))
    with pytest.raises(DataError, match=r"no line for 'a\.png'"):
        load(**recipe)


def test_the_real_set() -> None:
    data = load(loader="covid_cxr", path=real_data("covid_cxr_seg"), classes=CLASSES)
    assert (len(data.examples), len({example.group for example in data.examples})) == (81, 54)
    example = data.examples[0]
    assert example.truth().shape == example.image().shape[:2]
    assert max(example.truth().shape) == 256
    assert 0.1 < (example.truth() & 1).mean() < 0.5
