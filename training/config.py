"""Recipe of a training run: every setting, typed and bounded, read from TOML."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from models.closed import Closed
from models.flips import Flip
from models.preprocess import AnyStep
from models.spec import Name, Precision, Version
from training.data import AnyLoader
from training.data.examples import DataSet, TaskName
from training.data.split import SplitConfig
from training.findings import ALLOWABLE, NOT_ALLOWABLE, FindingName
from training.taxonomy_config import TaxonomyConfig

RENAMED_TASKS = {
    "classes": "multiclass",
    "labels": "multilabel",
    "regions": "semantic",
    "overlapping": "multilabel_semantic",
    "objects": "instance",
}  # before 0.2 -> now


class InputConfig(Closed):
    """Conversion of an image to the network's input.

    kind, letters: as in the package; the size of a signal is (1, samples). size: (height, width) in px, only for
    classifiers. steps: the package's preprocessing. mean, std: subtracted and divided by in the exported graph after
    the steps, for each channel or for all. root: then the graph takes the signed square root, which makes photon noise
    uniform (Anscombe 1948), so dim structures keep their contrast. read: "once" keeps images in memory, "always" reads
    an image whenever it is drawn.
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
    """A name in ARCHITECTURES and the options of that architecture."""

    name: str
    options: dict[str, Any] = Field(default={})


class AugmentConfig(Closed):
    """Ranges of random changes to training images; intensities are those after the preprocessing steps."""

    border_px: int = Field(default=0, ge=0)  # mirrored around the image, for valid convolutions
    crop: tuple[int, int] | None = None  # (height, width) px of a training patch
    flip: tuple[Literal["horizontal", "vertical"], ...] = ()
    rotate_degrees: float = Field(default=0, ge=0, le=180)
    scale: float = Field(default=0, ge=0, lt=1)  # zoom between 1 - scale and 1 + scale
    shift: float = Field(default=0, ge=0, lt=1)  # fraction of the sides of `crop`, or of input.size
    gain: float = Field(default=0, ge=0, lt=1)  # multiplies all channels by 1 - gain to 1 + gain
    colour_gain: float = Field(default=0, ge=0, lt=1)  # the same, separately for each channel
    offset: float = Field(default=0, ge=0)
    gamma: tuple[float, float] | None = None
    noise: float = Field(default=0, ge=0)  # standard deviation
    stain: float = Field(default=0, ge=0, lt=1)  # of haematoxylin, eosin and residual (Tellez 2018); RGB in [0, 1]
    blur: tuple[float, float] | None = None  # Gaussian sigma, px
    elastic: tuple[float, float] | None = None  # spacing and displacement of control points, px
    deform_px: float = Field(default=0, ge=0)  # as in U-Net: standard deviation on a 3 x 3 grid over the patch


class TrainingConfig(Closed):
    """Settings of the training loop. precision "auto" is bfloat16 where the hardware has it, else float32."""

    seed: int = 0
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # over all processes
    accumulate: int = Field(default=1, ge=1)  # batches per optimizer step
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    patience: int | None = Field(default=None, ge=1)  # epochs without improvement before training stops
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    average: float = Field(default=0.99, ge=0, lt=1)  # decay of the weights' moving average, which is exported
    balance: float = Field(default=0, ge=0, le=1)  # 1 draws every stratum equally often, 0 every example
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None  # "balanced": by inverse frequency
    focal_gamma: float = Field(default=0, ge=0)  # above 0: focal loss (Lin 2017)
    freeze: tuple[str, ...] = ()  # submodules, such as "layer1", that keep their initial weights
    thaw_at: int | None = Field(default=None, ge=1)  # epoch from which they train too
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    workers: int = Field(default=1, ge=0)

    @property
    def explicit_class_weights(self) -> tuple[float, ...] | None:
        """The listed class weights; None if all classes weigh the same, or "balanced"."""
        return self.class_weights if isinstance(self.class_weights, tuple) else None


class PackageConfig(Closed):
    """Description of the exported package."""

    name: Name
    version: Version
    description: str
    data: str
    license: str = "MIT"
    cite: tuple[tuple[str, str], ...] = ()
    names: dict[str, str] = Field(default={})  # label -> name for display
    flips: tuple[Flip, ...] = ()  # test-time augmentation in the service; each doubles the cost
    limits: str = ""  # intended use and known limits
    taps: tuple[str, ...] = ()  # submodules whose feature maps the package exposes
    precision: Precision = "float32"  # "half" runs on the tensor cores of GPUs


class AuditConfig(Closed):
    """Findings of training.audit that are allowed in this data set, each with a reason that the package repeats."""

    allow: dict[FindingName, Annotated[str, Field(min_length=1)]] = Field(default={})

    @field_validator("allow")
    @classmethod
    def _check_allowable(cls, allow: dict[FindingName, str]) -> dict[FindingName, str]:
        for name in allow:
            if name in NOT_ALLOWABLE:
                raise ValueError(
                    f"{name} cannot be allowed, because the data cannot be read; these can: {', '.join(ALLOWABLE)}"
                )
        return allow


class Recipe(Closed):
    """A complete recipe. `task`: the kind of ground truth, one of training.tasks."""

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
    reach: dict[str, float] = Field(default={})

    def dataset(self) -> DataSet:
        """Loads the examples and classes, merged by the taxonomy. Raises DataError."""
        data = self.data.load()
        return self.taxonomy.merge(data) if self.taxonomy else data

    def allowing(self, names: Iterable[FindingName]) -> Self:
        """Returns the recipe with these findings allowed too, as --allow does."""
        allow = dict.fromkeys(names, "on the command line") | self.audit.allow
        keep = {"shared_groups": "keep"} if "shared_groups" in allow and self.split.shared_groups == "refuse" else {}
        changed = {"audit": AuditConfig(allow=allow), "split": self.split.model_copy(update=keep)}
        return self.model_copy(update=changed)

    @field_validator("task", mode="before")
    @classmethod
    def _check_renamed(cls, task: object) -> object:
        if task in RENAMED_TASKS:
            raise ValueError(f"task = {task!r} is now called {RENAMED_TASKS[str(task)]!r}")
        return task

    @model_validator(mode="after")
    def _check_shared_groups(self) -> Self:
        if "shared_groups" in self.audit.allow and self.split.shared_groups == "refuse":
            raise ValueError("audit.allow.shared_groups: also set split.shared_groups = 'keep'")
        return self

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if (self.input.size is None) != (self.task not in ("multiclass", "multilabel")):
            raise ValueError("input.size: required for classifiers; segmenters take any size and must not have one")
        return self

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        config = self.training
        if self.taxonomy and self.task != "multiclass":
            raise ValueError("taxonomy: requires exclusive classes, task = 'multiclass'")
        if config.focal_gamma and (self.task not in ("multiclass", "multilabel") or config.label_smoothing):
            raise ValueError(
                "training.focal_gamma: focal loss works with multiclass and multilabel, without label_smoothing"
            )
        if config.class_weights == "balanced" and (
            self.task not in ("multiclass", "multilabel", "boundaries")
            or (self.task == "multilabel" and config.focal_gamma)
        ):
            raise ValueError(
                "training.class_weights: 'balanced' works with multiclass, boundaries, multilabel without focal_gamma"
            )
        if not {len(self.input.mean), len(self.input.std)} <= {1, self.input.channels}:
            raise ValueError("input.mean, input.std: give one value for all channels, or one for each")
        if self.augment.stain and self.input.channels != 3:
            raise ValueError("augment.stain: requires three channels")
        if self.augment.shift and not (self.augment.crop or self.input.size):
            raise ValueError("augment.shift: a fraction of augment.crop, which segmenters must set")
        return self


def read_recipe(path: Path, *, data: Path | None = None, seed: int | None = None, fold: int | None = None) -> Recipe:
    """Reads a recipe from TOML. data, seed and fold replace its data path, training seed and split turn."""
    values = tomllib.loads(path.read_text())
    if data is not None:
        values["data"]["path"] = data
    if seed is not None:
        values["training"]["seed"] = seed
    if fold is not None:
        values.setdefault("split", {})["turn"] = fold
    return Recipe.model_validate({"name": path.stem, **values})
