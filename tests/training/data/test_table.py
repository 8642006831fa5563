from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.data.files import damaged, image, load
from training.data.examples import DataError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "sub/c.png"):
        image(tmp_path / "images" / name)
    return tmp_path / "images"


def table(images: Path, *lines: str, **recipe: Any) -> dict[str, Any]:
    path = images.parent / "labels.csv"
    path.write_bytes("\r\n".join(lines).encode())
    return {"loader": "table", "path": path, "images": images, **recipe}


def test_a_row_is_an_example(images: Path) -> None:
    columns = {"file": "Image", "label": "Finding", "group": "Patient", "split": "Part"}
    recipe = table(
        images,
        "\ufeffPatient,Image,Finding,Part",  # as Excel writes it
        "p1,a.png,wet,train",
        'p1,b.png,"dry, cold",TRAIN',
        "p2, sub/c.png ,wet,val",
        "",
        **columns,
    )
    data = load(**recipe)
    assert data.classes == ("dry, cold", "wet")
    assert [(e.name, e.group, e.stratum, e.split, int(e.truth())) for e in data.examples] == [
        ("a.png", "p1", "wet", "train", 1),
        ("b.png", "p1", "dry, cold", "train", 0),
        ("sub/c.png", "p2", "wet", "validation", 1),
    ]
    assert data.examples[2].image().shape == (4, 6, 1)


def test_every_column_is_kept(images: Path) -> None:
    data = load(**table(images, "file,label,site,sex", "a.png,x, Oslo ,F", "b.png,y,,M"))
    assert [(e.columns["site"], e.columns["sex"]) for e in data.examples] == [("Oslo", "F"), ("", "M")]


def test_without_group_and_split_each_file_stands_alone(images: Path) -> None:
    data = load(**table(images, "file,label", "a.png,x", "b.png,y"))
    assert [(e.group, e.split) for e in data.examples] == [("a.png", None), ("b.png", None)]


def test_several_labels_are_a_vector(images: Path) -> None:
    rows = ("file,label", "a.png,wet|cold", "b.png,none", "sub/c.png, cold ")
    data = load(**table(images, *rows, separator="|", negative="none"))
    assert data.classes == ("cold", "wet")
    np.testing.assert_array_equal([e.truth() for e in data.examples], [[1, 1], [0, 0], [1, 0]])
    assert data.examples[0].truth().dtype == np.float32


def test_the_recipe_may_order_the_classes(images: Path) -> None:
    data = load(**table(images, "file,label", "a.png,x", "b.png,y", classes=["y", "x"]))
    assert data.classes == ("y", "x")
    assert [int(e.truth()) for e in data.examples] == [1, 0]


@pytest.mark.parametrize(
    ("lines", "recipe", "says"),
    [
        (["file,label", "a.png,x", "gone.png,y"], {}, r"labels\.csv, line 3: .*gone\.png: no such file"),
        (["file,label", "a.png,x", ",y"], {}, r"labels\.csv, line 3: .*no such file"),
        (["file,label", "a.png,x", "b.png,"], {}, r"labels\.csv, line 3: the label of 'b\.png' is empty"),
        (["file,label", "a.png,x", "b.png"], {}, "line 3: the label of 'b.png' is empty"),
        (["file,label", "a.png,x", "b.png,x||y"], {"separator": "|"}, "line 3: the label of 'b.png' is empty"),
        (["file,label", "a.png,x", "b.png,y", "a.png,y"], {}, r"line 4: a\.png is listed twice; first in .*line 2"),
        (["file,label", "a.png,x"], {}, r"labels\.csv: column 'label' has the classes"),
        (["file,label", "a.png,x"], {"classes": ["x", "y"]}, "class 'y' has no image"),
        (["file,label", "a.png,x", "b.png,z"], {"classes": ["x", "y"]}, r"line 3: 'b\.png' has the label 'z'"),
        (["file,label", "a.png,x"], {"label": "finding"}, r"no column 'finding'; columns are \['file', 'label'\]"),
        (["file,label", "a.png,x"], {"group": "patient"}, "no column 'patient'"),
        (["file,label,patient", "a.png,x,1", "b.png,y,"], {"group": "patient"}, r"line 3: the group of 'b\.png'"),
        (["file,label,part", "a.png,x,dev"], {"split": "part", "separator": "|"}, "line 2: .* split 'dev'; .*train"),
        ([], {}, "no column 'file'"),
        (["file,label", '"a.png,x'], {}, "not a CSV file"),
    ],
)
def test_what_does_not_fit_names_the_row(images: Path, lines: list[str], recipe: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        load(**table(images, *lines, **recipe))


def test_a_table_in_another_encoding_is_named(images: Path) -> None:
    recipe = table(images)
    recipe["path"].write_bytes("file,label\na.png,größe".encode("latin-1"))
    with pytest.raises(DataError, match=r"labels\.csv: not a CSV file in UTF-8"):
        load(**recipe)


def test_a_missing_table_is_named(images: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: No such file"):
        load(loader="table", path=images / "none.csv", images=images)


def test_an_unreadable_image_is_named_when_it_is_read(images: Path) -> None:
    damaged(images / "a.png")
    data = load(**table(images, "file,label", "a.png,x", "b.png,y"))
    with pytest.raises(DataError, match=r"a\.png: The PNG file is damaged"):
        data.examples[0].image()
