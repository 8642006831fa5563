"""Faults that tests plant in a folder of images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image

from models.image import Array
from tests.training.audit.audit_images import get, jpeg, put, texture


def leak(change: Callable[[Array], bytes]) -> Callable[[list[Path]], None]:
    """A training image stands in the test split too, changed."""

    def plant(images: list[Path]) -> None:
        train = next(path for path in images if "train/sick" in path.as_posix())
        test = next(path for path in images if "test/sick" in path.as_posix())
        test.with_name("p900_1.jpg").write_bytes(change(get(train)))

    return plant


def of_sick(change: Callable[[Path], object]) -> Callable[[list[Path]], None]:
    """Each image of the sick is changed in the same way."""

    def plant(images: list[Path]) -> None:
        for path in images:
            if path.parent.name == "sick":
                change(path)

    return plant


def resized(pixels: Array) -> bytes:
    half = PIL.Image.fromarray(pixels).resize((48, 48), PIL.Image.Resampling.BICUBIC)
    return jpeg(np.asarray(half), quality=60)


def brightened(pixels: Array) -> bytes:
    return jpeg(np.clip(pixels * 1.2 + 10, 0, 255).astype(np.uint8), quality=90)


def identical(images: list[Path]) -> None:
    next(p for p in images if "test" in p.parts).with_name("p900_1.png").write_bytes(images[-1].read_bytes())


def same_patient(images: list[Path]) -> None:
    train, test = (next(p for p in images if split in p.parts) for split in ("train", "test"))
    put(test.with_name(train.name.replace("_1", "_2")), texture(900))


def framed(path: Path) -> None:
    pixels = get(path)
    pixels[:, :6] = 0
    put(path, pixels)


def as_jpeg(path: Path) -> None:
    path.with_suffix(".jpg").write_bytes(jpeg(get(path), quality=90))
    path.unlink()


def tagged(path: Path) -> None:
    PIL.Image.fromarray(get(path)).save(path, dpi=(300, 300))


def cut_short(images: list[Path]) -> None:
    images[7].write_bytes(images[7].read_bytes()[:200])
