"""A recipe: everything that decides how a network is trained, typed, bounded and closed. Read from TOML."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.flips import Flip
from models.preprocess import AnyStep
from models.spec import Name, Precision, Version
from training.audit.finding import ALLOWABLE, NEVER
from training.audit.finding import Name as FindingName
from training.data import AnyLoader
from training.data.examples import DataSet, TaskName
from training.data.split import SplitConfig
from training.taxonomy import TaxonomyConfig

RENAMED_TASKS = {
    "classes": "multiclass",
    "labels": "multilabel",
    "regions": "semantic",
    "overlapping": "multilabel_semantic",
    "objects": "instance",
}  # before 0.2 -> now


class Closed(BaseModel):
    """Frozen; a mistyped field dies here with its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputConfig(Closed):
    """How an image becomes the network's input.

    kind, letters: as in the package; a signal's size is (1, samples). size: (height, width) in px, which a classifier
    needs and a segmenter has not. steps: the package's preprocessing.
    mean, std: what the graph itself subtracts and divides by afterwards, for each channel or for all. root: after that
    the graph takes the signed square root, which evens out photon noise (Anscombe 1948): what is dim keeps its contrast
    beside what is bright.
    read: images are read once and held in memory, or always, whenever they are drawn, where they would not fit.
    """

    kind: Literal["image", "signal"] = "image"
    channels: int = Field(ge=1, le=64)
    letters: str = ""
    size: tuple[int, int] | None = None
    steps: tuple[AnyStep, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    root: bool = False
    read: Literal["once", "always"] = "once"


class NetworkConfig(Closed):
    """A name in ARCHITECTURES and that family's options."""

    name: str
    options: dict[str, Any] = {}


class AugmentConfig(Closed):
    """How far a training image is changed at random; intensities are those after the preprocessing steps."""

    border_px: int = Field(default=0, ge=0)  # mirrored around the image: what valid convolutions give no answer for
    crop: tuple[int, int] | None = None  # (height, width) px of a training patch
    flip: tuple[Literal["horizontal", "vertical"], ...] = ()
    rotate_degrees: float = Field(default=0, ge=0, le=180)
    scale: float = Field(default=0, ge=0, lt=1)  # zoom between 1 - scale and 1 + scale
    shift: float = Field(default=0, ge=0, lt=1)  # of the sides of `crop`, or without it of input.size
    gain: float = Field(default=0, ge=0, lt=1)  # all channels times 1 - gain to 1 + gain
    colour_gain: float = Field(default=0, ge=0, lt=1)  # the same for each channel by itself
    offset: float = Field(default=0, ge=0)
    gamma: tuple[float, float] | None = None
    noise: float = Field(default=0, ge=0)  # standard deviation
    stain: float = Field(default=0, ge=0, lt=1)  # of haematoxylin, eosin and the rest (Tellez 2018); RGB in [0, 1]
    blur: tuple[float, float] | None = None  # Gaussian sigma, px
    elastic: tuple[float, float] | None = None  # control points' distance and displacement, px
    deform_px: float = Field(default=0, ge=0)  # U-Net's own: standard deviation on a 3 x 3 grid over the patch


class TrainingConfig(Closed):
    """The loop. precision "auto" is bfloat16 where the processor computes in it, float32 elsewhere."""

    seed: int = 0
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # of all processes together
    accumulate: int = Field(default=1, ge=1)  # so many batches make one step: as a batch so many times larger
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    patience: int | None = Field(default=None, ge=1)  # epochs without a better validation score before it stops
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    average: float = Field(default=0.99, ge=0, lt=1)  # decay of the weights' moving average, which is what is kept
    balance: float = Field(default=0, ge=0, le=1)  # 1 draws every stratum equally often, 0 every example
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None  # "balanced": by how often each occurs
    focal_gamma: float = Field(default=0, ge=0)  # focal loss (Lin 2017) where it is above 0
    freeze: tuple[str, ...] = ()  # parts of the network, such as "layer1", that keep the weights they start with
    thaw_at: int | None = Field(default=None, ge=1)  # epochs after which they train too
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
    flips: tuple[Flip, ...] = ()  # what the service averages its answer over; each doubles its cost
    limits: str = ""  # what it must not be used for
    taps: tuple[str, ...] = ()  # layers whose feature maps the package shows; names of the network's submodules
    precision: Precision = "float32"  # "half" is for GPUs, whose tensor cores then run it


class AuditConfig(Closed):
    """allow: findings of training.audit that this data set may have, each with the reason; the package repeats both."""

    allow: dict[FindingName, Annotated[str, Field(min_length=1)]] = {}

    @field_validator("allow")
    @classmethod
    def _can_be_allowed(cls, allow: dict[FindingName, str]) -> dict[FindingName, str]:
        for name in allow:
            if name in NEVER:
                raise ValueError(f"no training can read {name}: {', '.join(ALLOWABLE)} can be allowed")
        return allow


class Recipe(Closed):
    """A whole recipe. `task` says what the truth is; training.tasks has each."""

    name: str
    task: TaskName
    data: AnyLoader
    taxonomy: TaxonomyConfig | None = None
    split: SplitConfig = SplitConfig()
    audit: AuditConfig = AuditConfig()
    input: InputConfig
    network: NetworkConfig
    augment: AugmentConfig = AugmentConfig()
    training: TrainingConfig
    package: PackageConfig
    reach: dict[str, float] = {}

    def dataset(self) -> DataSet:
        """The examples, and the classes to tell apart. Raises DataError."""
        data = self.data.load()
        return self.taxonomy.merge(data) if self.taxonomy else data

    def allowing(self, names: Iterable[FindingName]) -> Self:
        """The recipe with these findings allowed besides its own, as by --allow."""
        allow = dict.fromkeys(names, "on the command line") | self.audit.allow
        keep = {"shared_groups": "keep"} if "shared_groups" in allow and self.split.shared_groups == "refuse" else {}
        changed = {"audit": AuditConfig(allow=allow), "split": self.split.model_copy(update=keep)}
        return self.model_copy(update=changed)

    @field_validator("task", mode="before")
    @classmethod
    def _names_the_new_word(cls, task: object) -> object:
        if task in RENAMED_TASKS:
            raise ValueError(f"task = {task!r} is now called {RENAMED_TASKS[str(task)]!r}")
        return task

    @model_validator(mode="after")
    def _allowed_groups_are_kept(self) -> Self:
        if "shared_groups" in self.audit.allow and self.split.shared_groups == "refuse":
            raise ValueError("audit.allow.shared_groups: then split.shared_groups is 'keep'")
        return self

    @model_validator(mode="after")
    def _size_suits_task(self) -> Self:
        if (self.input.size is None) != (self.task not in ("multiclass", "multilabel")):
            raise ValueError("input.size: a classifier needs one; a segmenter takes images of any size and has none")
        return self

    @model_validator(mode="after")
    def _options_suit_task(self) -> Self:
        config = self.training
        if self.taxonomy and self.task != "multiclass":
            raise ValueError("taxonomy: a tree stands above classes that exclude one another: task = 'multiclass'")
        if config.focal_gamma and (self.task not in ("multiclass", "multilabel") or config.label_smoothing):
            raise ValueError(
                "training.focal_gamma: the focal loss is for multiclass and multilabel, without label_smoothing"
            )
        if config.class_weights == "balanced" and (
            self.task not in ("multiclass", "multilabel", "boundaries")
            or (self.task == "multilabel" and config.focal_gamma)
        ):
            raise ValueError(
                "training.class_weights: 'balanced' is for multiclass, boundaries, and multilabel without focal_gamma"
            )
        if not {len(self.input.mean), len(self.input.std)} <= {1, self.input.channels}:
            raise ValueError("input.mean, input.std: one for all channels, or one for each")
        if self.augment.stain and self.input.channels != 3:
            raise ValueError("augment.stain: stains are found in three channels")
        if self.augment.shift and not (self.augment.crop or self.input.size):
            raise ValueError("augment.shift: a share of the sides of augment.crop, which a segmenter then needs")
        return self


def read_recipe(path: Path, *, data: Path | None = None, seed: int | None = None, fold: int | None = None) -> Recipe:
    """A TOML file -> Recipe; these take the place of the recipe's own data path, training seed and split's turn."""
    values = tomllib.loads(path.read_text())
    if data is not None:
        values["data"]["path"] = data
    if seed is not None:
        values["training"]["seed"] = seed
    if fold is not None:
        values.setdefault("split", {})["turn"] = fold
    return Recipe.model_validate({"name": path.stem, **values})
