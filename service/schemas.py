"""The wire format: every JSON answer, and every option that a request may carry."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.encode.colour import COLORMAPS

WarningCode = Literal[
    "unlike_training_data",
    "constant_image",
    "aspect_ratio",
    "upscaled",
    "colour_discarded",
    "pixel_size_differs",
]
Stage = Literal["decode", "preprocess", "queue", "infer", "postprocess", "encode"]


class Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelRef(Wire):
    """Which model bytes gave an answer: sha256 is the package's rdf.yaml's, which holds every other file's."""

    name: str
    version: str
    sha256: str


class InputInfo(Wire):
    """The image as it was read: upright (EXIF orientation applied) and without alpha; sha256 is the file's."""

    width: int
    height: int
    channels: int
    dtype: str
    format: str
    sha256: str


class Caution(Wire):
    """Something about the image that makes the answer less trustworthy."""

    code: WarningCode
    message: str


class Timings(Wire):
    """Milliseconds in each stage; waiting for a free thread counts to the stage that waited."""

    decode: float = 0.0
    preprocess: float = 0.0
    queue: float = 0.0
    infer: float = 0.0
    postprocess: float = 0.0
    encode: float = 0.0


class Answer(Wire):
    """What every JSON answer about one image carries."""

    model: ModelRef
    request_id: str
    input: InputInfo
    warnings: tuple[Caution, ...]
    timings_ms: Timings


class ClassProbability(Wire):
    """One class; it is decided where its probability reaches its threshold."""

    label: str
    name: str
    probability: float
    threshold: float
    decided: bool


class Prediction(Answer):
    """/predict: the classes, most probable first."""

    classes: tuple[ClassProbability, ...]


class WireError(Wire):
    """Every error's shape: a sentence for people, a code for machines that never changes."""

    error: str
    code: str


class Failure(WireError):
    """One image of several that could not be answered; status is what it would have had by itself."""

    status: int


class Predictions(Wire):
    """/predict with several images: a result or a failure for each, in the order sent."""

    model: ModelRef
    request_id: str
    results: tuple[Prediction | Failure, ...]


class Point(Wire):
    x: float
    y: float


class Box(Wire):
    x: int
    y: int
    width: int
    height: int


class MeasuredClass(Wire):
    """One class over the whole image; *_um2 is null where the pixel size is not known."""

    label: str
    name: str
    objects: int
    area_px: int
    area_um2: float | None
    area_fraction: float


class MeasuredObject(Wire):
    """One object. id is its value in format=labels of a model that separates objects; (0, 0) is the centre of the
    top left pixel."""

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


class InputFacts(Wire):
    channels: int
    height: int | None
    width: int | None
    smallest_image_px: int
    pixel_size_um: float | None


class ClassFacts(Wire):
    label: str
    name: str
    colour: str
    threshold: float
    ontology: str
    parent: str | None


class FigureFacts(Wire):
    metric: str
    value: float
    low: float
    high: float
    n: int
    split: str


class ModelInfo(Wire):
    """One package: what a caller must know of it. status "refused" comes with the reason, and serves nothing."""

    name: str
    version: str
    status: Literal["ready", "refused"]
    reason: str | None = None
    sha256: str | None = None
    task: Literal["classification", "segmentation"] | None = None
    description: str | None = None
    architecture: str | None = None
    license: str | None = None
    provider: str | None = None
    classes: tuple[ClassFacts, ...] = ()
    input: InputFacts | None = None
    activation: Literal["softmax", "sigmoid"] | None = None
    cam: Literal["cam", "gradcam"] | None = None
    separates_objects: bool = False
    figures: tuple[FigureFacts, ...] = ()
    trained_on: str | None = None


class Models(Wire):
    models: tuple[ModelInfo, ...]


class Health(Wire):
    """/readyz, /livez, /healthz."""

    status: Literal["ready", "alive"]


class PredictOptions(Wire):
    """The fields of /predict beside `image` and `model`."""

    top_k: int = Field(5, ge=1, le=1000, description="How many classes to answer, most probable first.")


Colormap = Literal["viridis", "magma", "inferno", "turbo", "gray"]
Alpha = Annotated[float, Field(ge=0, le=1)]


class CamOptions(Wire):
    """The fields of /cam beside `image` and `model`."""

    label: str | None = Field(None, description="The class whose map is asked for; the most probable one by default.")
    format: Literal["overlay", "heatmap", "raw"] = Field(
        "overlay", description="The map over the image, the map alone (both PNG), or its numbers as a float32 .npy."
    )
    colormap: Colormap = Field("inferno", description=f"One of {', '.join(COLORMAPS)}.")
    alpha: Alpha = Field(0.6, description="How much the overlay's hottest point hides the image.")


class SegmentOptions(Wire):
    """The fields of /segment beside `image` and `model`."""

    format: Literal["labels", "overlay", "probabilities", "measurements"] = Field(
        "labels", description="A mask (PNG), the mask over the image (PNG), float32 .npy, or JSON."
    )
    alpha: Alpha = Field(0.4, description="How much the overlay's colour hides the image inside an object.")
    pixel_size_um: float | None = Field(
        None, gt=0, le=1e6, description="The pixel's side in micrometres, in place of what the file says."
    )
