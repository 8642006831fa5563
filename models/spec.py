"""ModelSpec: everything that must be known to serve a network rightly, typed and bounded."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.preprocess import AnyStep

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)]  # no folders: no way out
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", min_length=5, max_length=64)]  # 5 is BioImage.IO's
Version = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+){0,2}$", max_length=32)]
Label = Annotated[str, Field(min_length=1, max_length=100)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Closed(BaseModel):
    """Frozen, and a field that is not declared is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class File(Closed):
    """A file of the package: its plain name and its content's digest."""

    source: FileName
    sha256: Sha256


class ClassSpec(Closed):
    """One class: `label` is what machines use, `name` what people read."""

    label: Label
    name: str = ""
    colour: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")] = "#e69f00"
    threshold: Probability = 0.5  # decided present at or above it
    ontology: str = ""  # a code such as "SNOMEDCT:233604007"
    parent: Label | None = None  # in the package's taxonomy


class InputSpec(Closed):
    """How an image becomes the network's input tensor (N, channels, height, width) float32.

    size: fixed (height, width) in pixels, to which every image is resized; None takes any size that is
    min_size + k * step, to which the service pads with mirrored pixels.
    """

    channels: Literal[1, 3]
    size: tuple[int, int] | None = None
    min_size: int = Field(default=1, ge=1)
    step: int = Field(default=1, ge=1)
    smallest_image: int = Field(default=1, ge=1)  # px; a smaller image is refused
    steps: tuple[AnyStep, ...]


class CamSpec(Closed):
    """The graph's class activation maps, output `cam` (N, classes, h, w) float32, before any ReLU.

    "cam": the logit is the map's mean plus a bias (Zhou 2016). "gradcam": gradient-weighted features (Selvaraju 2017).
    The map's pixel i is centred on pixel origin + i * stride of the network's input.
    """

    method: Literal["cam", "gradcam"]
    size: tuple[int, int]  # h, w
    origin: float = 0.0
    stride: float = Field(gt=0)


class ObjectSpec(Closed):
    """How objects are separated: seeds are joined pixels where the `seeds` channel reaches seed_threshold; they grow by
    watershed, down the seeds channel, over the pixels where the foreground class reaches its threshold."""

    foreground: Label
    seeds: Label
    seed_threshold: Probability
    min_area_px: int = Field(ge=1)  # a smaller object is dropped


class Range(Closed):
    """What nearly all training inputs lie between."""

    low: float
    high: float


class IntensityStatistics(Closed):
    """What 99 % of the training images lie between, in `preprocess.intensity_figures` of the prepared tensor."""

    mean: Range
    std: Range
    p1: Range  # the 1st percentile
    p99: Range


class Figure(Closed):
    """One figure of the evaluation: its value and 95 % bootstrap interval over n images of a split."""

    metric: str
    value: float
    low: float
    high: float
    n: int = Field(ge=1)
    split: str


class Provenance(Closed):
    """Where the weights come from."""

    recipe: str
    data: str  # what it was trained on, in a sentence with source and licence
    data_sha256: Sha256  # of every training image and label
    split_sha256: Sha256  # of which image is in which split
    commit: str = ""
    trained: str = ""  # ISO date


class ModelSpec(Closed):
    """A network with its preprocessing, its labels and its proof.

    Output `probabilities` is (N, C, 1 or H, 1 or W) float32 with C = classes + auxiliary channels, in that order; a
    classifier's is (N, C). Its activation is in the graph. An answer of the service is one of `classes`; an
    auxiliary channel only helps to make it (the seeds of objects).
    """

    name: Name
    version: Version
    description: str = Field(max_length=1024)
    license: str = "MIT"
    authors: tuple[Annotated[str, Field(pattern=r"^[^/\\]+$")], ...] = ("Striate",)
    cite: tuple[tuple[str, str], ...] = ()  # (text, DOI)
    task: Literal["classification", "segmentation"]
    architecture: str
    input: InputSpec
    classes: tuple[ClassSpec, ...] = Field(min_length=1)
    auxiliary: tuple[Label, ...] = ()
    activation: Literal["softmax", "sigmoid"]
    temperature: float = Field(default=1.0, gt=0)  # logits were divided by it, in the graph (Guo 2017)
    cam: CamSpec | None = None
    objects: ObjectSpec | None = None
    receptive_field: int = Field(ge=1)  # px
    stride: int = Field(ge=1)  # px
    halo: int = Field(default=0, ge=0)  # px at a tile's border that its neighbour's pixels would change
    border: int = Field(default=0, ge=0)  # px of each side for which the network gives no answer (valid convolutions)
    pixel_size_um: float | None = Field(default=None, gt=0)  # of the training images
    intensity: IntensityStatistics | None = None
    evaluation: tuple[Figure, ...] = ()
    provenance: Provenance | None = None
    tolerance: float = Field(default=1e-4, gt=0)  # absolute, on the test outputs
    opset: int = Field(default=20, ge=11)
    weights: File
    test_input: File
    test_outputs: dict[Literal["probabilities", "cam"], File]
    attachments: tuple[FileName, ...] = ()  # further files, not verified; a picture named cover... introduces the model

    @property
    def channel_names(self) -> tuple[str, ...]:
        return (*(c.label for c in self.classes), *self.auxiliary)

    @property
    def output_names(self) -> tuple[str, ...]:
        return ("probabilities", "cam") if self.cam else ("probabilities",)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = self.channel_names
        if len(set(names)) != len(names):
            raise ValueError(f"the labels {names} are not all different")
        if set(self.test_outputs) != set(self.output_names):
            raise ValueError(
                f"test_outputs are {sorted(self.test_outputs)}; the graph gives {sorted(self.output_names)}"
            )
        unknown = {c.parent for c in self.classes if c.parent} - set(names)
        if self.objects:
            unknown |= {self.objects.foreground, self.objects.seeds} - set(names)
        if unknown:
            raise ValueError(f"{sorted(unknown)} are no labels of this model; it has {names}")
        if self.task == "classification" and self.input.size is None:
            raise ValueError("a classifier needs a fixed input size")
        return self
