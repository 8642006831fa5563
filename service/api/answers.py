"""The wire format of answers about an image."""

from typing import Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

WarningCode = Literal[
    "unlike_training_data",
    "constant_image",
    "aspect_ratio",
    "upscaled",
    "colour_discarded",
    "pixel_size_differs",
]
Stage = Literal["decode", "preprocess", "queue", "infer", "postprocess", "encode"]


class WireModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelRef(WireModel):
    """Which model bytes gave an answer: sha256 is the package's rdf.yaml's, which holds every other file's."""

    name: str
    version: str
    sha256: str


class InputInfo(WireModel):
    """The image as it was read: upright (EXIF orientation applied) and without alpha; sha256 is the file's."""

    width: int
    height: int
    channels: int
    dtype: str
    format: str
    sha256: str


class InputWarning(WireModel):
    """Something about the image that makes the answer less trustworthy."""

    code: WarningCode
    message: str


class Timings(WireModel):
    """Milliseconds in each stage; waiting for a free thread counts to the stage that waited."""

    decode: float = 0.0
    preprocess: float = 0.0
    queue: float = 0.0
    infer: float = 0.0
    postprocess: float = 0.0
    encode: float = 0.0


class Answer(WireModel):
    """What every JSON answer about one image carries."""

    model: ModelRef
    request_id: str
    input: InputInfo
    warnings: tuple[InputWarning, ...]
    timings_ms: Timings


class ClassProbability(WireModel):
    """One class; it is decided where its probability reaches its threshold."""

    label: str
    name: str
    probability: float
    threshold: float
    decided: bool


class NodeProbability(WireModel):
    """An inner node of the model's taxonomy: the sum over all classes below it, whatever top_k is."""

    label: str
    name: str
    parent: str | None
    probability: float


class Prediction(Answer):
    """/predict: the classes, most probable first, and the inner nodes of the taxonomy likewise, if there is one."""

    classes: tuple[ClassProbability, ...]
    nodes: tuple[NodeProbability, ...] = ()


class WireError(WireModel):
    """Every error's shape: a sentence for people, a code for machines that never changes."""

    error: str
    code: str


class Failure(WireError):
    """One image of several that could not be answered; status is what it would have had by itself."""

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
    """One class over the whole image; *_um2 is null where the pixel size is not known."""

    label: str
    name: str
    objects: int
    area_px: int
    area_um2: float | None
    area_fraction: float


class MeasuredObject(TypedDict):
    """One object. id is its value in format=labels of a model that separates objects.

    (0, 0) is the centre of the top left pixel.

    A dict, as Point and Box are: tens of thousands of them are made for one image, and validated instances took so long
    that other requests waited.
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
    """/readyz, /livez, /healthz."""

    status: Literal["ready", "alive"]
