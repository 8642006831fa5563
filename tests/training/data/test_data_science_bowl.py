import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data import real_data
from tests.training.data.files import image, load
from training.data.data_science_bowl import background
from training.data.examples import DataError


def two_nuclei(root: Path, sample: str = "abc", *, brightness: int = 10) -> Path:
    image(root / sample / "images" / f"{sample}.png", brightness)
    for number, column in enumerate((0, 3)):
        mask = np.zeros((4, 6), np.uint8)
        mask[1:3, column : column + 2] = 255
        image(root / sample / "masks" / f"m{number}.png", mask)
    return root


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path("stage1_train") / file.relative_to(folder))
        archive.writestr("__MACOSX/stage1_train/abc/images/._abc.png", b"")
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_one_object_masks_become_numbers(tmp_path: Path, packed: bool) -> None:
    root = two_nuclei(two_nuclei(tmp_path / "train"), "def", brightness=200)
    data = load(loader="data_science_bowl", path=zipped(root) if packed else root)
    assert data.classes == ("nucleus",)
    assert [(e.name, e.group, e.stratum, e.split) for e in data.examples] == [
        ("abc", "abc", "dark 6x4", None),
        ("def", "def", "bright 6x4", None),
    ]
    truth = data.examples[0].truth()
    assert truth.dtype == np.int32
    np.testing.assert_array_equal(truth, [[0] * 6, [1, 1, 0, 2, 2, 0], [1, 1, 0, 2, 2, 0], [0] * 6])
    np.testing.assert_array_equal(data.examples[1].image(), np.full((4, 6, 1), 200))


@pytest.mark.parametrize(("value", "kind"), [(0, "dark"), (127, "dark"), (128, "bright"), (255, "bright")])
def test_the_background_is_what_most_pixels_are(value: int, kind: str) -> None:
    assert background(np.full((3, 3, 3), value, np.uint8)) == kind


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    two_nuclei(tmp_path)
    image(tmp_path / "abc" / "masks" / "m9.png", size=(5, 6))
    (example,) = load(loader="data_science_bowl", path=tmp_path).examples
    with pytest.raises(DataError, match=r"abc/masks/m9\.png: the mask is 6 x 5, its image 6 x 4"):
        example.truth()


@pytest.mark.parametrize(("missing", "says"), [("images", "0 images and 2 masks"), ("masks", "1 images and 0 masks")])
def test_a_sample_without_image_or_masks_is_named(tmp_path: Path, missing: str, says: str) -> None:
    two_nuclei(tmp_path)
    for file in (tmp_path / "abc" / missing).iterdir():
        file.unlink()
    with pytest.raises(DataError, match=f"abc has {says}"):
        load(loader="data_science_bowl", path=tmp_path)


@pytest.mark.parametrize("kind", ["images/abc.png", "masks/m0.png"])
def test_an_unreadable_image_is_named(tmp_path: Path, kind: str) -> None:
    (two_nuclei(tmp_path) / "abc" / kind).write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=f"abc/{kind}: The PNG file is damaged"):
        load(loader="data_science_bowl", path=tmp_path).examples[0].truth()


def test_a_damaged_zip_names_the_file(tmp_path: Path) -> None:
    path = zipped(two_nuclei(tmp_path / "train"))
    content = bytearray(path.read_bytes())
    content[content.index(b"\x89PNG") + 20] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"abc/images/abc\.png: Bad CRC-32"):
        load(loader="data_science_bowl", path=path)


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4 and no more"])
def test_what_is_neither_folder_nor_zip_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "stage1_train.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"stage1_train\.zip"):
        load(loader="data_science_bowl", path=path)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no <id>/images"):
        load(loader="data_science_bowl", path=tmp_path)


@pytest.mark.slow
def test_the_real_one() -> None:
    data = load(loader="data_science_bowl", path=real_data("dsb2018/stage1_train.zip"))
    assert len(data.examples) == 600
    example = data.examples[0]
    assert example.truth().shape == example.image().shape[:2]
    assert example.image().shape[2] == 3  # alpha is dropped
