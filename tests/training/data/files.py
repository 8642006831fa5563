"""What the tests of the loaders write to disk."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydantic import TypeAdapter

from models.image import Array
from training.data import AnyLoader
from training.data.examples import DataSet

LOADER: TypeAdapter[Any] = TypeAdapter(AnyLoader)


def load(**recipe: Any) -> DataSet:
    """A recipe's [data] table, as it comes from TOML -> its data set."""
    data: DataSet = LOADER.validate_python(recipe).load()
    return data


def image(path: Path, value: int | Array = 7, *, size: tuple[int, int] = (4, 6)) -> Path:
    """Writes a grey PNG (H, W) of one value, or of the array's, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size, value, np.uint8) if isinstance(value, int) else value
    path.write_bytes(imagecodecs.png_encode(pixels))
    return path


def damaged(path: Path) -> Path:
    """Writes the first half of a PNG."""
    content = image(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path
