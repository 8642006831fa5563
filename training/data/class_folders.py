"""Class folders, the ImageFolder layout: <class>/<image>, or <split>/<class>/<image>."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from training.data.examples import (
    SPLITS,
    DataError,
    DataSet,
    Example,
    GroupPattern,
    Loader,
    Split,
    constant,
    group_of,
    image_files,
    read_image,
)


class ClassFolders(Loader):
    """`path` holds a folder a class, or train, val and test folders that do; the folders' names are the labels.

    group: a regular expression, searched in the file's name, whose first group is the patient; without one, or where
    it does not match, every file is its own group.
    """

    loader: Literal["class_folders"]
    path: Path
    group: GroupPattern | None = None

    def load(self) -> DataSet:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder.")
        folders = sorted(folder for folder in self.path.iterdir() if _is_class(folder))
        given = {folder: SPLITS[folder.name.lower()] for folder in folders if folder.name.lower() in SPLITS}
        roots: dict[Path, Split | None] = dict(given) if given else {self.path: None}
        classes = sorted({folder.name for root in roots for folder in root.iterdir() if _is_class(folder)})
        if len(classes) < 2:
            raise DataError(f"{self.path}: it holds the class folders {classes}; at least two are needed.")
        examples = [
            self._example(file, index, split)
            for root, split in roots.items()
            for index, label in enumerate(classes)
            for file in image_files(root / label)
        ]
        return DataSet(tuple(examples), tuple(classes))

    def _example(self, file: Path, index: int, split: Split | None) -> Example:
        name = str(file.relative_to(self.path))
        return Example(
            name=name,
            group=group_of(file.name, self.group, otherwise=name),
            stratum=file.parent.name,
            split=split,
            image=partial(read_image, file),
            truth=constant(np.int64(index)),
        )


def _is_class(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".")
