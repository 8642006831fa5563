"""Metadata of the server and of models, and model statistics, as the protocol defines them."""

from models.decode import FORMATS
from models.spec import ModelSpec
from service.http.openinference.infer_request import IMAGE, IMAGE_BYTES
from service.http.openinference.schemas import (
    BatchStats,
    Duration,
    InferenceStats,
    ModelMetadata,
    ModelStats,
    ServerMetadata,
    TensorMetadata,
)
from service.repository.state import ServedModel
from service.telemetry.model_metrics import DurationSum

_FORMATS = ", ".join(format.name for format in FORMATS)
EXTENSIONS = ("binary_tensor_data", "classification", "parameters", "schedule_policy", "statistics")


def server_metadata(version: str) -> ServerMetadata:
    return ServerMetadata(name="striate", version=version, extensions=EXTENSIONS)


def model_metadata(model: ServedModel, *, versions: tuple[str, ...]) -> ModelMetadata:
    """Returns a model's tensors. versions: all live versions of the model."""
    spec = model.spec
    outputs = tuple(TensorMetadata(name=name, datatype="FP32", shape=_output(spec, name)) for name in spec.output_names)
    inputs = (
        TensorMetadata(
            name=IMAGE,
            datatype="FP32",
            shape=(-1, spec.input.channels, *(spec.input.size or (-1, -1))),
            parameters={"content": "prepared tensors", "instead_of": IMAGE_BYTES},
        ),
        TensorMetadata(
            name=IMAGE_BYTES,
            datatype="BYTES",
            shape=(-1,),
            parameters={"content": f"image files ({_FORMATS}); base64 in JSON", "instead_of": IMAGE},
        ),
    )
    parameters: dict[str, str | int | bool] = {"sha256": model.package.sha256, "task": spec.task}
    return ModelMetadata(name=spec.name, versions=versions, inputs=inputs, outputs=outputs, parameters=parameters)


def model_stats(model: ServedModel) -> ModelStats:
    statistics, runs = model.statistics, model.statistics.runs()
    return ModelStats(
        name=model.spec.name,
        version=model.spec.version,
        last_inference=round(1e3 * statistics.last),
        inference_count=statistics.parts["compute_infer"].count,
        execution_count=sum(spent.count for spent in runs.values()),
        inference_stats=InferenceStats(
            success=_duration(statistics.success),
            fail=_duration(statistics.fail),
            **{part: _duration(spent) for part, spent in statistics.parts.items()},
        ),
        batch_stats=tuple(BatchStats(batch_size=size, compute_infer=_duration(spent)) for size, spent in runs.items()),
    )


def _output(spec: ModelSpec, name: str) -> tuple[int, ...]:
    if spec.input.size:
        return (-1, *spec.output_shape(name, spec.input.size))
    return (-1, len(spec.channel_names), -1, -1)


def _duration(spent: DurationSum) -> Duration:
    return Duration(count=spent.count, ns=round(1e9 * spent.seconds))
