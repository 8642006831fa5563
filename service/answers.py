"""A pipeline's result -> HTTP: JSON in the wire format, or bytes whose facts stand in X-Striate-* headers."""

import json
from urllib.parse import quote

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from models.errors import StriateError
from models.package import Package
from service.errors import STATUS
from service.pipeline import Mapped, Measured, Result, Segmented
from service.repository import Refused, Served
from service.schemas import (
    ClassFacts,
    ClassProbability,
    Failure,
    FigureFacts,
    InputFacts,
    Measurements,
    ModelInfo,
    ModelRef,
    Prediction,
)
from service.tasks.picture import Picture

PREFIX = "X-Striate-"


def json_response(answer: BaseModel) -> Response:
    return Response(orjson.dumps(answer.model_dump(mode="json")), media_type="application/json")


def prediction(result: Result[tuple[ClassProbability, ...]], *, request_id: str) -> Prediction:
    return Prediction(
        model=reference(result.model.package),
        request_id=request_id,
        input=result.input,
        warnings=result.warnings,
        timings_ms=result.timings,
        classes=result.value,
    )


def measurements(result: Result[Measured], *, request_id: str) -> Measurements:
    return Measurements(
        model=reference(result.model.package),
        request_id=request_id,
        input=result.input,
        warnings=result.warnings,
        timings_ms=result.timings,
        pixel_size_um=result.value.pixel_size_um,
        count=len(result.value.objects),
        classes=result.value.classes,
        objects=result.value.objects,
    )


def failure(error: StriateError) -> Failure:
    return Failure(error=str(error), code=error.code, status=STATUS[type(error)])


def cam_picture(result: Result[Mapped]) -> Response:
    found = result.value
    return _picture(result, found.picture, {"Label": found.label, "Probability": f"{found.probability:.6g}"})


def mask_picture(result: Result[Segmented]) -> Response:
    return _picture(result, result.value.picture, {"Count": str(result.value.count)})


def reference(package: Package) -> ModelRef:
    return ModelRef(name=package.spec.name, version=package.spec.version, sha256=package.sha256)


def _picture(result: Result[Mapped] | Result[Segmented], picture: Picture, facts: dict[str, str]) -> Response:
    package = result.model.package
    every = {
        "Model": package.spec.name,
        "Model-Version": package.spec.version,
        "Model-Sha256": package.sha256,
        "Input": result.input.model_dump_json(),
        "Warnings": json.dumps([warning.model_dump() for warning in result.warnings]),
        "Timings-Ms": result.timings.model_dump_json(),
        **picture.facts,
        **facts,
    }
    headers = {PREFIX + name: header_value(value) for name, value in every.items()}
    return Response(picture.body, headers=headers, media_type=picture.media_type)


def header_value(text: str) -> str:
    """Text -> visible ASCII: anything else, and "%", is percent-encoded as in a URL."""
    return quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")


def model_info(model: Served) -> ModelInfo:
    """What /models tells of a model that serves."""
    spec = model.spec
    return ModelInfo(
        name=spec.name,
        version=spec.version,
        status="ready",
        sha256=model.package.sha256,
        task=spec.task,
        description=spec.description,
        architecture=spec.architecture,
        license=spec.license,
        provider=model.provider,
        classes=tuple(ClassFacts.model_validate(known.model_dump()) for known in spec.classes),
        input=_input_facts(model),
        activation=spec.activation,
        cam=spec.cam.method if spec.cam else None,
        separates_objects=spec.objects is not None,
        figures=tuple(FigureFacts.model_validate(figure.model_dump()) for figure in spec.evaluation),
        trained_on=spec.provenance.data if spec.provenance else None,
    )


def refused_info(refused: Refused) -> ModelInfo:
    return ModelInfo(name=refused.name, version=refused.version, status="refused", reason=refused.reason)


def _input_facts(model: Served) -> InputFacts:
    spec = model.spec
    height, width = spec.input.size or (None, None)
    return InputFacts(
        channels=spec.input.channels,
        height=height,
        width=width,
        smallest_image_px=spec.input.smallest_image,
        pixel_size_um=spec.pixel_size_um,
    )
