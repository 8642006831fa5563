import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data import real_data
from tests.training.data.files import damaged, image, load
from training.data.chestxray14 import FINDINGS, ChestXray14
from training.data.examples import DataError
from training.data.split import SplitConfig, divide

HEAD = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
)
ROWS = (
    "00000001_000.png,Cardiomegaly|Hernia,0,1,57,M,PA,2682,2749,0.143,0.143\n"
    "00000001_001.png,No Finding,1,1,58,M,PA,2894,2729,0.143,0.143\n"
    "00000002_000.png,Cardiomegaly,0,2,80,F,AP,2500,2048,0.171,0.171\n"
)


def small(root: Path, text: str = HEAD + ROWS) -> dict[str, Any]:
    """The table gzipped, and its images as the NIH's archives unpack: in several folders."""
    for name, folder in (
        ("00000001_000", "images_001"),
        ("00000001_001", "images_001"),
        ("00000002_000", "images_002"),
    ):
        image(root / folder / "images" / f"{name}.png")
    (root / "table.csv.gz").write_bytes(gzip.compress(text.encode()))
    return {"loader": "chestxray14", "path": root / "table.csv.gz", "images": root}


def test_a_row_is_an_example(tmp_path: Path) -> None:
    data = load(**small(tmp_path))
    assert data.classes == FINDINGS
    first, healthy, other = data.examples
    assert [FINDINGS[i] for i in np.flatnonzero(first.truth())] == ["Cardiomegaly", "Hernia"]
    assert not healthy.truth().any()
    assert [e.group for e in data.examples] == ["1", "1", "2"]
    assert [e.stratum for e in data.examples] == ["Hernia", "No Finding", "Cardiomegaly"]  # the rarest it has
    assert other.columns == {"sex": "F", "age": "80", "view": "AP", "follow-up": "0"}
    assert first.image().shape == (4, 6, 1)


def test_the_official_list_is_the_test_split(tmp_path: Path) -> None:
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    data = load(**small(tmp_path), test_list=tmp_path / "test_list.txt")
    assert [e.split for e in data.examples] == [None, None, "test"]
    (tmp_path / "test_list.txt").write_text("00000003_000.png\n")
    with pytest.raises(DataError, match=r"'00000003_000\.png' is not in table\.csv\.gz"):
        load(**small(tmp_path), test_list=tmp_path / "test_list.txt")


def test_a_missing_image_is_named_before_anything_is_read(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    (tmp_path / "images_002" / "images" / "00000002_000.png").unlink()
    with pytest.raises(DataError, match=r"00000002_000\.png: no such file; 1 of the 3 images"):
        load(**recipe)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    damaged(tmp_path / "images_001" / "images" / "00000001_000.png")
    with pytest.raises(DataError, match=r"00000001_000\.png: The PNG file is damaged"):
        load(**recipe).examples[0].image()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD, "no row"),
        ("file,label\na,b\n", "no column 'Image Index'"),
        ("Image Index,Finding Labels\na,b\n", "no column 'Patient ID'"),
        (HEAD + ROWS.replace("Hernia", "Hernie"), "00000001_000.png has the unknown label 'Hernie'"),
    ],
    ids=["empty", "another table", "no patients", "unknown label"],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        load(**small(tmp_path, text))


def test_a_file_that_is_not_gzip_is_named(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    (tmp_path / "table.csv.gz").write_text(HEAD + ROWS)
    with pytest.raises(DataError, match=r"table\.csv\.gz: cannot be read"):
        load(**recipe)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # scikit-learn deals 30,805 groups one by one
def test_no_patient_is_on_two_sides() -> None:
    """The whole real table, 112,120 images of 30,805 patients, 8 : 1 : 1."""
    table = real_data("nih/Data_Entry_2017_v2020.csv.gz")
    loader = ChestXray14(loader="chestxray14", path=table, images=Path())
    data = loader.examples({name: Path(name) for name in loader.rows()})
    assert len(data.examples) == 112_120
    counts = sum(example.truth() for example in data.examples).astype(int)
    assert dict(zip(FINDINGS, counts.tolist()))["Pneumonia"] == 1_431
    parts = divide(data, SplitConfig(folds=10, test=1, validation=1))
    patients = {split: {example.group for example in examples} for split, examples in parts.items()}
    assert sum(map(len, patients.values())) == len(set().union(*patients.values())) == 30_805
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert len(parts[split]) / 112_120 == pytest.approx(share, abs=0.01)
        hernias = sum(example.truth()[FINDINGS.index("Hernia")] for example in parts[split])
        assert hernias / 227 == pytest.approx(share, abs=0.03)
