"""Small data sets on disk, without a fault until one is planted."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
from scipy import ndimage

from models.image import Array
from training.audit.data_audit import check
from training.audit.image_facts import gather_facts
from training.config import Recipe, read_recipe
from training.data.split import divide
from training.findings import Finding

COUNTS = {"train": 14, "val": 6, "test": 6}
BLANK = {"channels": 1, "steps": [{"id": "ensure_dtype"}]}


def texture(number: int, *, side: int = 64) -> Array:
    """(side, side) uint8 between 40 and 200, another picture for every number."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(number).normal(size=(side, side)), 1.5)
    return (40 + 160 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def files(folder: Path) -> list[Path]:
    """A file an image, <split>/<class>/<number>.png, none of which tells its class; returned by name."""
    number = 0
    for split, count in COUNTS.items():
        for label in ("healthy", "sick"):
            (folder / split / label).mkdir(parents=True)
            for _ in range(count):
                number += 1
                put(folder / split / label / f"p{number:03}_1.png", texture(number))
    return sorted(folder.rglob("*.png"))


def put(path: Path, pixels: Array) -> None:
    path.write_bytes(imagecodecs.png_encode(pixels))


def get(path: Path) -> Array:
    return imagecodecs.imread(path)


def jpeg(pixels: Array, *, quality: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def folders(path: Path, **fields: Any) -> Recipe:
    """A recipe of the folder of files()."""
    values = read_recipe(Path("training/recipes/digits.toml")).model_dump() | {"audit": {}}
    values["data"] = {"loader": "class_folders", "path": path, "group": r"^(p\d+)_"}
    return Recipe.model_validate(values | fields)


def pairs(path: Path) -> Recipe:
    """A recipe of images/ and masks/ of two classes, 30 of each."""
    for kind in ("images", "masks"):
        (path / kind).mkdir(parents=True)
    for number in range(30):
        mask = np.zeros((64, 64), np.uint8)
        mask[10:40, 20:30] = 1
        put(path / "images" / f"{number:02}.png", texture(number))
        put(path / "masks" / f"{number:02}.png", mask)
    data = {"loader": "mask_pairs", "path": path}
    data["classes"] = {"ground": 0, "cell": 1}
    network = {"name": "unet", "options": {"base_width": 2, "depth": 2}}
    return folders(path, task="semantic", data=data, network=network, input=BLANK, augment={})


def found(recipe: Recipe) -> list[Finding]:
    data = recipe.dataset()
    parts = divide(data, recipe.split.model_copy(update={"shared_groups": "keep"}))
    return check(gather_facts(parts, task=recipe.task), parts, task=recipe.task, classes=data.classes)
