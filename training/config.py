"""A recipe: everything that decides how a network is trained, typed, bounded and closed. Read from TOML."""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.preprocess import AnyStep
from models.spec import Name, Version
from training.data import AnyLoader
from training.data.split import SplitConfig


class Closed(BaseModel):
    """Frozen; a mistyped field dies here with its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputConfig(Closed):
    """How an image becomes the network's input.

    size: (height, width) in px, which a classifier needs and a segmenter has not. steps: the package's preprocessing.
    mean, std: what the graph itself subtracts and divides by afterwards, for each channel or for all. root: after that
    the graph takes the signed square root, which evens out photon noise (Anscombe 1948): what is dim keeps its contrast
    beside what is bright.
    """

    channels: Literal[1, 3]
    size: tuple[int, int] | None = None
    steps: tuple[AnyStep, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    root: bool = False


class NetworkConfig(Closed):
    """A name in ARCHITECTURES and that family's options."""

    name: str
    options: dict[str, Any] = {}


class AugmentConfig(Closed):
    """How far a training image is changed at random; intensities are those after the preprocessing steps."""

    crop: tuple[int, int] | None = None  # (height, width) px of a training patch
    flip: tuple[Literal["horizontal", "vertical"], ...] = ()
    rotate_degrees: float = Field(default=0, ge=0, le=180)
    scale: float = Field(default=0, ge=0, lt=1)  # zoom between 1 - scale and 1 + scale
    shift: float = Field(default=0, ge=0, lt=1)  # of the image's side
    gain: float = Field(default=0, ge=0, lt=1)  # all channels times 1 - gain to 1 + gain
    colour_gain: float = Field(default=0, ge=0, lt=1)  # the same for each channel by itself
    offset: float = Field(default=0, ge=0)
    gamma: tuple[float, float] | None = None
    noise: float = Field(default=0, ge=0)  # standard deviation
    blur: tuple[float, float] | None = None  # Gaussian sigma, px
    elastic: tuple[float, float] | None = None  # control points' distance and displacement, px


class TrainingConfig(Closed):
    """The loop. precision "auto" is bfloat16 where the processor computes in it, float32 elsewhere."""

    seed: int = 0
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    patience: int | None = Field(default=None, ge=1)  # epochs without a better validation score before it stops
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    average: float = Field(default=0.99, ge=0, lt=1)  # decay of the weights' moving average, which is what is kept
    balance: float = Field(default=0, ge=0, le=1)  # 1 draws every stratum equally often, 0 every example
    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    workers: int = Field(default=1, ge=0)


class PackageConfig(Closed):
    """What the exported package says of itself."""

    name: Name
    version: Version
    description: str
    data: str
    license: str = "MIT"
    cite: tuple[tuple[str, str], ...] = ()
    names: dict[str, str] = {}  # label -> what people read
    limits: str = ""  # what it must not be used for


class Recipe(Closed):
    """A whole recipe. `task` says what the truth is: one class, any of several labels, regions, or separate objects."""

    name: str
    task: Literal["classes", "labels", "regions", "objects"]
    data: AnyLoader
    split: SplitConfig = SplitConfig()
    input: InputConfig
    network: NetworkConfig
    augment: AugmentConfig = AugmentConfig()
    training: TrainingConfig
    package: PackageConfig
    reach: dict[str, float] = {}

    @model_validator(mode="after")
    def _size_suits_task(self) -> Self:
        if (self.input.size is None) != (self.task in ("regions", "objects")):
            raise ValueError("input.size: a classifier needs one; a segmenter takes images of any size and has none")
        return self


def read_recipe(path: Path, *, data: Path | None = None, seed: int | None = None) -> Recipe:
    """A TOML file -> Recipe; `data` and `seed` take the place of the recipe's own data path and training seed."""
    values = tomllib.loads(path.read_text())
    if data is not None:
        values["data"]["path"] = data
    if seed is not None:
        values["training"]["seed"] = seed
    return Recipe.model_validate({"name": path.stem, **values})
