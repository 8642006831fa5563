"""Wire format of answers about an image."""

from typing import Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

Stage = Literal["decode", "preprocess", "queue", "infer", "postprocess", "encode"]


class WireModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelRef(WireModel):
    """The exact model behind an answer. sha256: of the package's rdf.yaml, which holds every other file's digest."""

    name: str
    version: str
    sha256: str


class InputInfo(WireModel):
    """The decoded image: upright (EXIF orientation applied) and without alpha. sha256: of the file as sent."""

    width: int
    height: int
    channels: int
    dtype: str
    format: str
    sha256: str


class InputWarning(WireModel):
    """A reason why the answer may be unreliable."""

    code: str
    message: str


class Timings(WireModel):
    """Milliseconds in each stage; waiting for a thread counts towards the stage that waits."""

    decode: float = 0.0
    preprocess: float = 0.0
    queue: float = 0.0
    infer: float = 0.0
    postprocess: float = 0.0
    encode: float = 0.0


class Answer(WireModel):
    """The fields common to every JSON answer about one image."""

    model: ModelRef
    request_id: str
    input: InputInfo
    warnings: tuple[InputWarning, ...]
    timings_ms: Timings


class ClassProbability(WireModel):
    """One class; `decided` is true if its probability reaches its threshold."""

    label: str
    name: str
    probability: float
    threshold: float
    decided: bool


class NodeProbability(WireModel):
    """An inner node of the taxonomy; its probability is the sum over all classes below it, regardless of top_k."""

    label: str
    name: str
    parent: str | None
    probability: float


class Prediction(Answer):
    """/predict: the classes, most probable first, and the taxonomy's inner nodes, if any, in the same order."""

    classes: tuple[ClassProbability, ...]
    nodes: tuple[NodeProbability, ...] = ()


class WireError(WireModel):
    """Every error: a sentence for people, and a stable code for machines."""

    error: str
    code: str


class Failure(WireError):
    """One image of several that failed. status: the HTTP status it would get alone."""

    status: int


class Predictions(WireModel):
    """/predict with several images: a result or a failure for each, in the order sent."""

    model: ModelRef
    request_id: str
    results: tuple[Prediction | Failure, ...]


class Point(TypedDict):
    x: float
    y: float


class Box(TypedDict):
    x: int
    y: int
    width: int
    height: int


class MeasuredClass(WireModel):
    """One class over the whole image; *_um2 is null if the pixel size is unknown."""

    label: str
    name: str
    objects: int
    area_px: int
    area_um2: float | None
    area_fraction: float


class MeasuredObject(TypedDict):
    """One object. id: its value in format=labels if the model separates objects.

    (0, 0) is the centre of the top left pixel.

    A dict, like Point and Box: one image may have tens of thousands, and validated instances would hold up other
    requests.
    """

    id: int
    label: str
    area_px: int
    area_um2: float | None
    centroid_px: Point
    centroid_um: Point | None
    bbox_px: Box
    mean_probability: float


class Measurements(Answer):
    """/segment with format=measurements."""

    pixel_size_um: float | None
    count: int
    classes: tuple[MeasuredClass, ...]
    objects: tuple[MeasuredObject, ...]


class Health(WireModel):
    """/readyz, /livez, /healthz. warning: what an operator should see to, although the service answers."""

    status: Literal["ready", "alive"]
    warning: str = ""
