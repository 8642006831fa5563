"""The wire format of models: what is told of each, and what an operator says of its versions."""

from typing import Literal

from pydantic import Field, RootModel

from models.flips import Flip
from models.spec import Version
from service.api.answers import WireModel
from service.repository.rollouts import CanaryRollout


class InputFacts(WireModel):
    """A signal's height is 1, its width its samples; letters: those of a sequence, a channel each."""

    kind: Literal["image", "signal"]
    channels: int
    letters: str
    height: int | None
    width: int | None
    smallest_image_px: int
    pixel_size_um: float | None


class LayerFacts(WireModel):
    """A layer that /activations shows: its maps' shape, and where they lie in px of the network's input.

    A map's pixel i is centred on pixel origin_px + i * stride_px, and sees receptive_field_px about that.
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


Role = Literal["serves", "canary", "shadow"]


class ComparisonInfo(WireModel):
    """What came of a shadow; differed: it decided otherwise; left_out: it was behind."""

    compared: int
    differed: int
    failed: int
    left_out: int


class VersionInfo(WireModel):
    """One version. state "unloaded": it is loaded when it is asked for; "spare": it is sound, and not asked to serve.

    percent: of the model's requests, which it answers.
    """

    version: str
    state: Literal["ready", "unloaded", "spare", "refused"]
    role: Role | None = None
    percent: float = 0.0
    reason: str = ""
    sha256: str | None = None
    weights_bytes: int | None = None
    comparison: ComparisonInfo | None = None


class ModelInfo(WireModel):
    """One model as the version that serves it is.

    status "refused" comes with the reason, and serves nothing, as does "unloaded".
    """

    name: str
    version: str
    status: Literal["ready", "unloaded", "refused"]
    reason: str | None = None
    sha256: str | None = None
    task: Literal["classification", "segmentation"] | None = None
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
    classes_overlap: bool = Field(False, description="Several classes may hold at one pixel, or of one image.")
    flips: tuple[Flip, ...] = ()
    figures: tuple[FigureFacts, ...] = ()
    trained_on: str | None = None
    data_sha256: str | None = None
    files: tuple[str, ...] = Field((), description="What /models/{name}/files/{file} has: README.md and attachments.")
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
    """/v2/repository/index, as Triton answers it."""


class LoadParameters(WireModel):
    version: Version | None = Field(None, description="It serves from now on; left out, what was said before holds.")


class LoadRequest(WireModel):
    parameters: LoadParameters = LoadParameters()


class UnloadParameters(WireModel):
    unload_dependents: bool = Field(False, description="No model here depends on another.")


class UnloadRequest(WireModel):
    parameters: UnloadParameters = UnloadParameters()


class Nothing(WireModel):
    """A body that says nothing."""


class RolloutRequest(WireModel):
    """The whole of what is said of a model: what is not named ends."""

    pinned: Version | None = Field(None, description="The version that serves; none: the newest that proves itself.")
    canary: CanaryRollout | None = None
    shadow: Version | None = Field(None, description="A version that runs, is compared, and never answers.")
