"""Loader of class folders (ImageFolder layout): <class>/<image>, or <split>/<class>/<image>."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from models.image import Array
from training.data.examples import (
    SPLITS,
    DataError,
    DataSet,
    Example,
    GroupPattern,
    Loader,
    Split,
    columns_of,
    constant,
    group_of,
    image_files,
    read_image,
)


class ClassFolders(Loader):
    """Loader settings. path: folder of class folders, or of train, val and test folders with class folders.

    Folder names are the labels. negative: label of images without any other; the task is then "multilabel". group:
    regular expression, searched in the file name, whose first group is the patient; a file without a match is its own
    group. Named groups, such as (?P<site>...), become columns for evaluation by subgroup. finer: regular expression
    for a finer label than the folder's; a taxonomy may have the folder's label as its parent.
    """

    loader: Literal["class_folders"]
    path: Path
    negative: str | None = None
    group: GroupPattern | None = None
    finer: GroupPattern | None = None

    def load(self) -> DataSet:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder.")
        folders = sorted(folder for folder in self.path.iterdir() if _is_class(folder))
        split_folders = {folder: SPLITS[folder.name.lower()] for folder in folders if folder.name.lower() in SPLITS}
        roots: dict[Path, Split | None] = dict(split_folders) if split_folders else {self.path: None}
        names = sorted({folder.name for root in roots for folder in root.iterdir() if _is_class(folder)})
        if len(names) < 2:
            raise DataError(f"{self.path}: class folders {names}; at least two are needed.")
        files = [(f, split) for root, split in roots.items() for name in names for f in image_files(root / name)]
        labels = sorted({(file.parent.name, self._label(file)) for file, _ in files})
        classes = tuple(dict.fromkeys(label for _, label in labels if label != self.negative))
        if self.negative and len(classes) == len({label for _, label in labels}):
            raise DataError(f"{self.path}: no image has the label {self.negative!r}; labels are {', '.join(classes)}.")
        return DataSet(tuple(self._example(file, classes, split) for file, split in files), classes)

    def _label(self, file: Path) -> str:
        return group_of(file.name, self.finer, otherwise=file.parent.name)

    def _example(self, file: Path, classes: tuple[str, ...], split: Split | None) -> Example:
        name, label = str(file.relative_to(self.path)), self._label(file)
        return Example(
            name=name,
            group=group_of(file.name, self.group, otherwise=name),
            stratum=label,
            split=split,
            image=partial(read_image, file),
            truth=constant(self._truth(label, classes)),
            columns=columns_of(file.name, self.group),
        )

    def _truth(self, label: str, classes: tuple[str, ...]) -> Array:
        """Returns a class index () int64, or with `negative` (classes,) float32 of 0 and 1."""
        if self.negative is None:
            return np.asarray(classes.index(label), dtype=np.int64)
        return np.isin(classes, label).astype(np.float32)


def _is_class(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".")
