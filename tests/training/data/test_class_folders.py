from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.data import real_data
from tests.training.data.files import damaged, image, load
from training.data.examples import DataError


def test_the_folders_names_are_the_classes(tmp_path: Path) -> None:
    for name, value in [("b/1.png", 1), ("a/2.png", 2), ("a/1.PNG", 3)]:
        image(tmp_path / name, value)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    image(tmp_path / ".thumbnails" / "x.png")
    image(tmp_path / "a" / "._1.png")
    data = load(loader="class_folders", path=tmp_path)
    assert data.classes == ("a", "b")
    assert [(e.name, int(e.truth()), e.stratum, e.split, int(e.image()[0, 0, 0])) for e in data.examples] == [
        ("a/1.PNG", 0, "a", None, 3),
        ("a/2.png", 0, "a", None, 2),
        ("b/1.png", 1, "b", None, 1),
    ]
    assert [e.group for e in data.examples] == [e.name for e in data.examples]
    assert data.examples[0].image().shape == (4, 6, 1)
    assert data.examples[0].truth().dtype == np.int64


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
def test_given_splits_are_kept(tmp_path: Path, validation: str) -> None:
    for split in ("train", validation, "test"):
        for label in ("a", "b"):
            image(tmp_path / split / label / "1.png")
    data = load(loader="class_folders", path=tmp_path)
    assert Counter(e.split for e in data.examples) == {"train": 2, "validation": 2, "test": 2}


def test_a_pattern_names_the_patient(tmp_path: Path) -> None:
    for name in ("a/person1_left.png", "a/person1_right.png", "b/person1_left.png", "b/other.png"):
        image(tmp_path / name)
    data = load(loader="class_folders", path=tmp_path, group=r"^(person\d+)_")
    assert [e.group for e in data.examples] == ["person1", "person1", "b/other.png", "person1"]


def test_a_finer_label_may_stand_in_the_name(tmp_path: Path) -> None:
    for name in ("normal/1.png", "ill/p1_virus.png", "ill/p2_bacteria.png", "ill/p3.png"):
        image(tmp_path / name)
    data = load(
        loader="class_folders", path=tmp_path, group=r"^(?P<patient>p\d)(?:_(?P<cause>\w+))?", finer="_([a-z]+)"
    )
    assert data.classes == ("bacteria", "ill", "virus", "normal")
    assert [(e.name, data.classes[int(e.truth())], e.stratum, e.group) for e in data.examples] == [
        ("ill/p1_virus.png", "virus", "virus", "p1"),
        ("ill/p2_bacteria.png", "bacteria", "bacteria", "p2"),
        ("ill/p3.png", "ill", "ill", "p3"),
        ("normal/1.png", "normal", "normal", "normal/1.png"),
    ]
    assert data.examples[0].columns == {"patient": "p1", "cause": "virus"}
    assert data.examples[2].columns == {"patient": "p3"}
    assert data.examples[3].columns == {}


@pytest.mark.parametrize("pattern", ["person", "(person"])
def test_a_pattern_without_a_group_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ValidationError, match="person"):
        load(loader="class_folders", path=tmp_path, group=pattern)


def test_a_class_without_an_image_is_named(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"/b: no image"):
        load(loader="class_folders", path=tmp_path)


def test_a_class_that_one_split_lacks_is_named(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png"):
        image(tmp_path / name)
    with pytest.raises(DataError, match="test/b: no such folder"):
        load(loader="class_folders", path=tmp_path)


def test_one_class_is_none(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png")
    with pytest.raises(DataError, match="at least two"):
        load(loader="class_folders", path=tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load(loader="class_folders", path=tmp_path / "nowhere")


def test_an_unreadable_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    damaged(tmp_path / "a" / "1.png")
    image(tmp_path / "b" / "1.png").write_text("no image at all")
    first, second = load(loader="class_folders", path=tmp_path).examples
    with pytest.raises(DataError, match=r"a/1\.png: The PNG file is damaged"):
        first.image()
    with pytest.raises(DataError, match=r"b/1\.png: .*Supported image formats: PNG, JPEG and TIFF"):
        second.image()
    (tmp_path / "b" / "1.png").unlink()
    with pytest.raises(DataError, match=r"b/1\.png: No such file"):
        second.image()


def test_the_kermany_radiographs() -> None:
    data = load(loader="class_folders", path=real_data("kermany_cxr"), group=r"^(person\d+)_")
    assert data.classes == ("NORMAL", "PNEUMONIA")
    counts = Counter((e.split, e.stratum) for e in data.examples)
    assert (counts["test", "NORMAL"], counts["test", "PNEUMONIA"]) == (234, 390)
    assert len({e.group for e in data.examples}) < len(data.examples)
    assert data.examples[0].image().dtype == np.uint8


def test_a_negative_makes_labels_of_the_others(tmp_path: Path) -> None:
    """As CheXNet's: of an image without a finding none is there."""
    for name in ("NORMAL/1.png", "PNEUMONIA/2.png", "EDEMA/3.png"):
        image(tmp_path / name)
    data = load(loader="class_folders", path=tmp_path, negative="NORMAL")
    assert data.classes == ("EDEMA", "PNEUMONIA")
    assert {e.stratum: e.truth().tolist() for e in data.examples} == {
        "NORMAL": [0, 0],
        "EDEMA": [1, 0],
        "PNEUMONIA": [0, 1],
    }
    with pytest.raises(DataError, match="no image has the label 'HEALTHY'; labels are EDEMA, NORMAL, PNEUMONIA"):
        load(loader="class_folders", path=tmp_path, negative="HEALTHY")
