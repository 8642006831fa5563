"""Wire format of models: their description, versions and rollout requests."""

from typing import Literal

from pydantic import Field, RootModel

from models.flips import Flip
from models.spec import TaskKind, Version
from service.api.answers import WireModel
from service.api.rollout import CanaryRollout


class InputFacts(WireModel):
    """The network's input. A signal has height 1 and its samples as width. letters: a sequence's, one channel each."""

    kind: Literal["image", "signal"]
    channels: int
    letters: str
    height: int | None
    width: int | None
    smallest_image_px: int
    pixel_size_um: float | None


class LayerFacts(WireModel):
    """A layer of /activations: the shape of its maps, and their geometry in pixels of the network's input.

    Pixel i of a map is centred on input pixel origin_px + i * stride_px; receptive_field_px is centred there.
    """

    name: str
    channels: int
    height: int
    width: int
    receptive_field_px: int
    origin_px: float
    stride_px: float


class ClassFacts(WireModel):
    label: str
    name: str
    colour: str
    threshold: float
    ontology: str
    parent: str | None


class NodeFacts(WireModel):
    label: str
    name: str
    ontology: str
    parent: str | None


class FigureFacts(WireModel):
    metric: str
    value: float
    low: float
    high: float
    n: int
    split: str


VersionRole = Literal["serves", "canary", "shadow"]


class ComparisonInfo(WireModel):
    """A shadow's results. differed: images with another decision. left_out: images skipped because it was behind."""

    compared: int
    differed: int
    failed: int
    left_out: int


class VersionInfo(WireModel):
    """One version. "unloaded": its next request loads it. "inactive": verified, not in use. "invalid": see reason.

    percent: its share of the model's requests.
    """

    version: str
    state: Literal["ready", "unloaded", "inactive", "invalid"]
    role: VersionRole | None = None
    percent: float = 0.0
    reason: str = ""
    sha256: str | None = None
    weights_bytes: int | None = None
    comparison: ComparisonInfo | None = None


class ModelInfo(WireModel):
    """One model, described by the version that serves.

    "unloaded" and "invalid" models serve nothing; "invalid" ones have a reason.
    """

    name: str
    version: str
    status: Literal["ready", "unloaded", "invalid"]
    reason: str | None = None
    sha256: str | None = None
    task: TaskKind | None = None
    description: str | None = None
    architecture: str | None = None
    license: str | None = None
    provider: str | None = None
    classes: tuple[ClassFacts, ...] = ()
    nodes: tuple[NodeFacts, ...] = ()
    input: InputFacts | None = None
    activation: Literal["softmax", "sigmoid"] | None = None
    cam: Literal["cam", "gradcam"] | None = None
    cam_methods: tuple[str, ...] = ()
    layers: tuple[LayerFacts, ...] = ()
    has_filters: bool = False
    separates_objects: bool = False
    classes_overlap: bool = Field(False, description="Several classes may apply to one pixel, or to one image.")
    flips: tuple[Flip, ...] = ()
    figures: tuple[FigureFacts, ...] = ()
    trained_on: str | None = None
    data_sha256: str | None = None
    files: tuple[str, ...] = Field(
        (), description="Files under /models/{name}/files/{file}: README.md and attachments."
    )
    versions: tuple[VersionInfo, ...] = ()


class Models(WireModel):
    models: tuple[ModelInfo, ...]


class IndexRequest(WireModel):
    ready: bool = False


class IndexEntry(WireModel):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class Index(RootModel[list[IndexEntry]]):
    """/v2/repository/index, in Triton's format."""


class LoadParameters(WireModel):
    version: Version | None = Field(
        None, description="The version to serve from now on; without it, the former choice stays."
    )


class LoadRequest(WireModel):
    parameters: LoadParameters = LoadParameters()


class UnloadParameters(WireModel):
    unload_dependents: bool = Field(False, description="Accepted and ignored: no model depends on another.")


class UnloadRequest(WireModel):
    parameters: UnloadParameters = UnloadParameters()


class Nothing(WireModel):
    """An empty body."""


class RolloutRequest(WireModel):
    """The complete rollout of a model; whatever is not named ends."""

    pinned: Version | None = Field(None, description="The version that serves; null: the newest verified version.")
    canary: CanaryRollout | None = None
    shadow: Version | None = Field(None, description="A version whose results are compared, never returned.")
