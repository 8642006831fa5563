"""Class folders, the ImageFolder layout: <class>/<image>, or <split>/<class>/<image>."""

import re
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from training.data.examples import DataError, DataSet, Example, Loader, Split, constant, read_image

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
SPLITS: dict[str, Split] = {
    "train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"
}  # fmt: skip


class ClassFolders(Loader):
    """`path` holds a folder a class, or train, val and test folders that do; the folders' names are the labels.

    group: a regular expression, searched in the file's name, whose first group is the patient; without one, or where
    it does not match, every file is its own group.
    """

    loader: Literal["class_folders"]
    path: Path
    group: str | None = None

    def load(self) -> DataSet:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder.")
        folders = sorted(folder for folder in self.path.iterdir() if folder.is_dir())
        given = {folder: SPLITS[folder.name.lower()] for folder in folders if folder.name.lower() in SPLITS}
        roots: dict[Path, Split | None] = dict(given) if given else {self.path: None}
        classes = sorted({folder.name for root in roots for folder in root.iterdir() if folder.is_dir()})
        if len(classes) < 2:
            raise DataError(f"{self.path}: it holds the class folders {classes}; at least two are needed.")
        examples = [
            self._example(file, index, split)
            for root, split in roots.items()
            for index, label in enumerate(classes)
            for file in self._files(root / label)
        ]
        return DataSet(tuple(examples), tuple(classes))

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES) if folder.is_dir() else []
        if not files:
            raise DataError(f"{folder}: this class has no image; PNG, JPEG and TIFF files count.")
        return files

    def _example(self, file: Path, index: int, split: Split | None) -> Example:
        name = str(file.relative_to(self.path))
        match = re.search(self.group, file.name) if self.group else None
        return Example(
            name=name,
            group=match.group(1) if match else name,
            stratum=file.parent.name,
            split=split,
            image=partial(read_image, file),
            truth=constant(np.int64(index)),
        )
