"""Data sets as people have them, a file a layout; the recipe's `loader` chooses."""

from typing import Annotated

from pydantic import Field

from training.data.class_folders import ClassFolders
from training.data.data_science_bowl import DataScienceBowl
from training.data.mask_pairs import MaskPairs
from training.data.medmnist import MedMNIST
from training.data.sklearn_digits import SklearnDigits
from training.data.table import Table

AnyLoader = Annotated[
    ClassFolders | DataScienceBowl | MaskPairs | MedMNIST | SklearnDigits | Table, Field(discriminator="loader")
]
