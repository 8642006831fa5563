"""Wire format of the protocol. Inference requests and responses are read and written without it, for speed."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import WireModel

Datatype = Literal["FP32", "BYTES"]
Data = list[Any]
MAX_ID = 1000  # characters


class Open(BaseModel):
    """A request that may have further fields: clients add their own."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ServerLive(WireModel):
    live: Literal[True] = True


class ServerReady(WireModel):
    ready: Literal[True] = True


class ModelReady(WireModel):
    name: str
    ready: Literal[True] = True


class ServerMetadata(WireModel):
    name: str
    version: str
    extensions: tuple[str, ...]


class TensorMetadata(WireModel):
    """One tensor; -1 stands for any length."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parameters: dict[str, str | int | bool] = Field(default_factory=dict)


class ModelMetadata(WireModel):
    """A model's tensors; a request has one of the inputs."""

    name: str
    versions: tuple[str, ...]
    platform: Literal["onnxruntime_onnx"] = "onnxruntime_onnx"
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    parameters: dict[str, str | int | bool] = Field(default_factory=dict)


class RequestParameters(Open):
    timeout: int = Field(0, ge=0, description="Microseconds until an answer is worthless; 0: none but the service's.")
    priority: int = Field(0, ge=0, description="1 is the highest; 2 and more go after who waits for one image.")
    binary_data_output: bool = Field(False, description="Outputs as binary data unless they say otherwise.")


class InputParameters(Open):
    binary_data_size: int | None = Field(None, ge=0, description="Bytes after the JSON, in place of `data`.")


class OutputParameters(Open):
    binary_data: bool = Field(False, description="This output as binary data.")
    classification: int | None = Field(None, ge=1, description="So many classes, as `value:index:label`.")


class RequestInput(Open):
    name: Literal["image", "image_bytes"]
    datatype: Datatype
    shape: list[int] = Field(min_length=1, max_length=4)
    parameters: InputParameters | None = None
    data: Data | None = Field(None, description="Flat, or nested as the shape says; image_bytes: base64.")


class RequestOutput(Open):
    name: Literal["probabilities", "cam", "hirescam"]
    parameters: OutputParameters | None = None


class InferRequest(Open):
    """One input; without `outputs`, all outputs are returned."""

    id: str | None = Field(None, max_length=MAX_ID, description="Returned with the response.")
    parameters: RequestParameters | None = None
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] | None = None


class ResponseParameters(WireModel):
    """sha256: the package's. warnings: codes, comma-separated."""

    sha256: str
    warnings: str


class BinarySize(WireModel):
    binary_data_size: int


class ResponseOutput(WireModel):
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parameters: BinarySize | None = None
    data: tuple[float | str, ...] | None = None


class InferResponse(WireModel):
    model_name: str
    model_version: str
    id: str | None = None
    parameters: ResponseParameters
    outputs: tuple[ResponseOutput, ...]


class Duration(WireModel):
    """A count and the total time in nanoseconds."""

    count: int
    ns: int


class InferenceStats(WireModel):
    """success, fail: requests. The others: images."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class BatchStats(WireModel):
    """Runs of the network with this batch size."""

    batch_size: int
    compute_infer: Duration


class ModelStats(WireModel):
    """One version since it was loaded. last_inference: Unix milliseconds."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStats
    batch_stats: tuple[BatchStats, ...]


class AllStats(WireModel):
    model_stats: tuple[ModelStats, ...]
