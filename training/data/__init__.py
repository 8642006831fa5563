"""Loaders of data sets, one file per layout; a recipe's `loader` names one."""

from typing import Annotated

from pydantic import Field

from training.data.chestxray14 import ChestXray14
from training.data.class_folders import ClassFolders
from training.data.covid_cxr import CovidCXR
from training.data.data_science_bowl import DataScienceBowl
from training.data.mask_pairs import MaskPairs
from training.data.medmnist import MedMNIST
from training.data.promoters import Promoters
from training.data.sklearn_digits import SklearnDigits
from training.data.table import Table
from training.data.ucr import UCR

AnyLoader = Annotated[
    ChestXray14
    | ClassFolders
    | CovidCXR
    | DataScienceBowl
    | MaskPairs
    | MedMNIST
    | Promoters
    | SklearnDigits
    | Table
    | UCR,
    Field(discriminator="loader"),
]
