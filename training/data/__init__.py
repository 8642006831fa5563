"""Data sets as people have them, a file a layout; the recipe's `loader` chooses."""

from typing import Annotated

from pydantic import Field

from training.data.class_folders import ClassFolders
from training.data.data_science_bowl import DataScienceBowl

AnyLoader = Annotated[ClassFolders | DataScienceBowl, Field(discriminator="loader")]
