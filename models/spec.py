"""ModelSpec: the typed description of a network."""

import math
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.closed import Closed, File, FileName
from models.evaluation import Figure, IntensityStatistics, Provenance
from models.flips import Flip
from models.outputs import AnyOutput, Axes, CamSpec, OutputNames, ProbabilitiesSpec, Role, TapSpec, cam_of
from models.preprocess import AnyStep
from models.taxonomy import Taxonomy

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", min_length=5, max_length=64)]  # 5 is BioImage.IO's
Version = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+){0,2}$", max_length=32)]
Label = Annotated[str, Field(min_length=1, max_length=100)]
TaskKind = Literal["classification", "segmentation"]
Precision = Literal["float32", "half"]
Probability = Annotated[float, Field(ge=0, le=1)]
# Bounds in px of what a network may need beside an image: the service pads it and takes memory, whatever image it gets.
MAX_HALO, MAX_STEP = 4096, 1024


class ClassSpec(Closed):
    """One class: `label` is what machines use, `name` what people read."""

    label: Label
    name: str = ""
    colour: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")] = "#e69f00"
    threshold: Probability = 0.5  # decided present at or above it
    ontology: str = ""  # a code such as "SNOMEDCT:233604007"
    parent: Label | None = None  # in the package's taxonomy


class NodeSpec(Closed):
    """An inner node of the taxonomy: its probability is the sum of those of the classes below it (Esteva 2017)."""

    label: Label
    name: str = ""
    ontology: str = ""
    parent: Label | None = None  # another inner node; None for a root


class InputSpec(Closed):
    """Conversion of an image to the network's input tensor (N, channels, height, width) float32.

    axes: of that tensor, as the graph has it; a signal's has Y = 1.
    size: fixed (height, width) in pixels, to which every image is resized; None takes any size that is
    min_size + k * step, to which the service pads with mirrored pixels. A signal is an image one pixel high, of any
    channels, and is not resized: its size is (1, samples). letters: those of a sequence, a channel each.
    """

    kind: Literal["image", "signal"] = "image"
    axes: Axes = "NCYX"
    channels: int = Field(ge=1, le=64)
    letters: Annotated[str, Field(pattern=r"^[a-z]*$")] = ""
    size: tuple[int, int] | None = None
    min_size: int = Field(default=1, ge=1, le=MAX_HALO)
    step: int = Field(default=1, ge=1)
    smallest_image: int = Field(default=1, ge=1)  # px; a smaller image is refused
    steps: tuple[AnyStep, ...]

    @model_validator(mode="after")
    def _kind_suits_size(self) -> Self:
        if self.kind == "image" and (self.channels not in (1, 3) or self.letters):
            raise ValueError(f"an image has 1 or 3 channels and no letters; here are {self.channels}, {self.letters!r}")
        if self.kind == "signal" and (self.size is None or self.size[0] != 1):
            raise ValueError(f"a signal's size is (1, samples), not {self.size}")
        if self.letters and len(set(self.letters)) != self.channels:
            raise ValueError(f"the letters {self.letters!r} are not {self.channels} different ones")
        return self


class ObjectSpec(Closed):
    """Separation of objects by watershed.

    Seeds are connected pixels where the `seeds` channel reaches seed_threshold; they grow down the seeds channel over
    the pixels where the foreground class reaches its threshold.
    """

    foreground: Label
    seeds: Label
    seed_threshold: Probability
    min_area_px: int = Field(ge=1)  # a smaller object is dropped


class ModelSpec(Closed):
    """A network with its preprocessing, its labels and its proof.

    The output with the role "probabilities" has C = classes + auxiliary channels, in that order; its activation is in
    the graph. An answer of the service is one of `classes`; an
    auxiliary channel only helps to make it (the seeds of objects).
    """

    name: Name
    version: Version
    description: str = Field(max_length=1024)
    license: str = "MIT"
    authors: tuple[Annotated[str, Field(pattern=r"^[^/\\]+$")], ...] = ("Striate",)
    cite: tuple[tuple[str, str], ...] = ()  # (text, DOI)
    task: TaskKind
    architecture: str
    input: InputSpec
    outputs: tuple[AnyOutput, ...] = Field(min_length=1, max_length=16)
    classes: tuple[ClassSpec, ...] = Field(min_length=1)
    auxiliary: tuple[Label, ...] = ()
    nodes: tuple[NodeSpec, ...] = ()  # the taxonomy above the classes, as their `parent` says
    activation: Literal["softmax", "sigmoid"]
    temperature: float = Field(default=1.0, gt=0)  # logits were divided by it, in the graph (Guo 2017)
    flips: tuple[Flip, ...] = ()  # the answer is the mean over the input mirrored so, in every combination
    objects: ObjectSpec | None = None
    receptive_field: int = Field(ge=1)  # px
    stride: int = Field(ge=1)  # px
    halo: int = Field(default=0, ge=0, le=MAX_HALO)  # px at a tile's border that its neighbour's pixels would change
    reach: Literal["local", "image"] = "local"  # "image": each pixel depends on the whole image, so tiles are not exact
    border: int = Field(default=0, ge=0, le=MAX_HALO)  # px of each side without an answer (valid convolutions)
    pixel_size_um: float | None = Field(default=None, gt=0)  # of the training images
    intensity: IntensityStatistics | None = None
    evaluation: tuple[Figure, ...] = ()
    provenance: Provenance | None = None
    precision: Precision = "float32"  # in which the network computes; inputs and outputs are float32
    opset: int = Field(default=20, ge=11)
    weights: File
    test_input: File
    filters: File | None = None  # (K, C, h, w) float32: the weights of the first convolution
    attachments: tuple[FileName, ...] = ()  # further files, not verified; a picture named cover... introduces the model

    @property
    def channel_names(self) -> tuple[str, ...]:
        return (*(c.label for c in self.classes), *self.auxiliary)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """Tree of the classes. Raises ValueError where the nodes do not form one."""
        every: tuple[ClassSpec | NodeSpec, ...] = (*self.classes, *self.nodes)
        parents = {known.label: known.parent for known in every if known.parent}
        return Taxonomy(tuple(c.label for c in self.classes), tuple(node.label for node in self.nodes), parents)

    @property
    def classes_overlap(self) -> bool:
        """Whether several classes may apply to one pixel or one image."""
        return self.activation == "sigmoid" and self.objects is None and len(self.classes) > 1

    @cached_property
    def names(self) -> OutputNames:
        """The graph's names of the outputs that have a role of their own, by role; for a role without, PackageError."""
        names = OutputNames({output.role: output.name for output in self.outputs if output.role != "features"})
        names.package = self.name
        return names

    def has(self, role: Role) -> bool:
        return role in self.names or (role == "features" and bool(self.taps))

    @cached_property
    def taps(self) -> tuple[TapSpec, ...]:
        return tuple(output for output in self.outputs if isinstance(output, TapSpec))

    @cached_property
    def cam(self) -> CamSpec | None:
        return cam_of(self.outputs)

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs that every answer may need: all but the feature maps."""
        return tuple(output.name for output in self.outputs if output.role != "features")

    @cached_property
    def every_output(self) -> tuple[str, ...]:
        return (*self.output_names, *(tap.name for tap in self.taps))

    def output(self, name: str) -> AnyOutput:
        """Returns the description of the output with this name."""
        return next(output for output in self.outputs if output.name == name)

    def output_shape(self, name: str, size: tuple[int, int]) -> tuple[int, ...]:
        """Returns the shape without the batch, for an input of this size (h, w)."""
        output, channels = self.output(name), len(self.channel_names)
        if isinstance(output, TapSpec):
            return output.size
        if not isinstance(output, ProbabilitiesSpec):
            return (channels, *output.size)
        return (channels,) if output.axes == "NC" else (channels, *(side - 2 * self.border for side in size))

    @cached_property
    def fixed_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each output without the batch, by its name; of none where the input may have any size."""
        size = self.input.size
        return {output.name: self.output_shape(output.name, size) for output in self.outputs} if size else {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = self.channel_names
        nodes = tuple(node.label for node in self.nodes)
        if len({*names, *nodes}) != len(names) + len(nodes):
            raise ValueError(f"the labels {(*names, *nodes)} are not all different")
        self._check_outputs()
        unknown = {c.parent for c in self.classes if c.parent} - {*names, *nodes}
        unknown |= {node.parent for node in self.nodes if node.parent} - set(nodes)
        if self.objects:
            unknown |= {self.objects.foreground, self.objects.seeds} - set(names)
        if unknown:
            raise ValueError(f"{sorted(unknown)} are no labels of this model; it has {names}")
        if self.task == "classification" and self.input.size is None:
            raise ValueError("a classifier needs a fixed input size")
        if self.input.size is None and (grid := math.lcm(self.input.step, self.stride)) > MAX_STEP:
            raise ValueError(f"images would be padded to multiples of {grid:,} px; at most {MAX_STEP:,} are allowed")
        if nodes and (self.task, self.activation) != ("classification", "softmax"):
            raise ValueError("only the classes of a softmax classifier can be summed to the nodes of a taxonomy")
        _ = self.taxonomy  # a tree, or it says why not
        return self

    def _check_outputs(self) -> None:
        every = [*self.output_names, *(tap.name for tap in self.taps)]
        if len(set(every)) < len(every) or len(self.names) < len(self.output_names):
            raise ValueError(f"the outputs {every} do not all have names and roles of their own")
        if not self.has("probabilities"):
            raise ValueError(f"a network for {self.task} needs an output with the role 'probabilities'")
        if self.input.size is None and len(self.outputs) > 1:
            raise ValueError("only a network of fixed input size has class maps or feature maps")
        axes = "NC" if self.task == "classification" else self.input.axes
        for output in self.outputs:
            takes = axes if output.role == "probabilities" else self.input.axes
            if output.axes != takes:
                raise ValueError(f"the axes of the output {output.name!r} are {output.axes}, not {takes}")
        _ = self.cam  # raises where maps lie on different grids
