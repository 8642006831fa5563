"""Responses: results as JSON in the wire format, or as bytes with the same facts in X-Striate-* headers."""

import json
from pathlib import PurePath
from urllib.parse import quote

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from models.errors import StriateError
from models.outputs import TapSpec
from models.package import Package
from service.api.answers import Answer, Failure, ModelRef
from service.api.model_info import ClassFacts, FigureFacts, InputFacts, LayerFacts, ModelInfo, NodeFacts
from service.pipeline.pipeline import Result
from service.repository.state import InvalidPackage, ServedModel
from service.tasks.cam import methods_of
from service.tasks.task import Document, Encoded, Picture

PREFIX = "X-Striate-"


def json_response(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def respond(result: Result[Encoded], *, request_id: str) -> Response:
    """Returns the response for one image."""
    if isinstance(result.value, Picture):
        return _picture(result, result.value)
    answer = complete(result.value, result, request_id=request_id)
    if not result.value.raw:
        return json_response(answer)
    return Response(orjson.dumps({**answer.model_dump(mode="json"), **result.value.raw}), media_type="application/json")


def complete(document: Document, result: Result[Encoded], *, request_id: str) -> Answer:
    """Returns one image's JSON answer, without its raw fields."""
    return document.schema(
        model=reference(result.model.package),
        request_id=request_id,
        input=result.input,
        warnings=result.warnings,
        timings_ms=result.timings,
        **document.fields,
    )


def failure(error: StriateError) -> Failure:
    return Failure(error=str(error), code=error.code, status=error.status)


def reference(package: Package) -> ModelRef:
    return ModelRef(name=package.spec.name, version=package.spec.version, sha256=package.sha256)


def filter_picture(package: Package, picture: Picture) -> Response:
    return _with_facts(package, picture, {})


def packaged(name: str, content: bytes) -> Response:
    """Returns a file of a package; anything but PNG and Markdown as plain bytes."""
    kinds = {".png": "image/png", ".md": "text/markdown; charset=utf-8"}
    return Response(content, media_type=kinds.get(PurePath(name).suffix, "application/octet-stream"))


def _picture(result: Result[Encoded], picture: Picture) -> Response:
    about = {
        "Input": result.input.model_dump_json(),
        "Warnings": json.dumps([warning.model_dump() for warning in result.warnings]),
        "Timings-Ms": result.timings.model_dump_json(),
    }
    return _with_facts(result.model.package, picture, about)


def _with_facts(package: Package, picture: Picture, facts: dict[str, str]) -> Response:
    model = {"Model": package.spec.name, "Model-Version": package.spec.version, "Model-Sha256": package.sha256}
    headers = {PREFIX + name: header_value(value) for name, value in {**model, **picture.facts, **facts}.items()}
    return Response(picture.body, headers=headers, media_type=picture.media_type)


def header_value(text: str) -> str:
    """Converts text to visible ASCII: anything else, and "%", is percent-encoded as in a URL."""
    return quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")


def model_info(model: ServedModel) -> ModelInfo:
    """Returns the description of a model that serves."""
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
        nodes=tuple(NodeFacts.model_validate(node.model_dump()) for node in spec.nodes),
        input=_input_facts(model),
        activation=spec.activation,
        cam=spec.cam.method if spec.cam else None,
        cam_methods=methods_of(spec) if spec.task == "classification" else (),
        layers=tuple(map(_layer_facts, spec.taps)),
        has_filters=spec.filters is not None,
        separates_objects=spec.objects is not None,
        classes_overlap=spec.classes_overlap,
        flips=spec.flips,
        figures=tuple(FigureFacts.model_validate(figure.model_dump()) for figure in spec.evaluation),
        trained_on=spec.provenance.data if spec.provenance else None,
        data_sha256=spec.provenance.data_sha256 if spec.provenance else None,
        files=model.package.readable,
    )


def _layer_facts(tap: TapSpec) -> LayerFacts:
    channels, height, width = tap.size
    return LayerFacts(
        name=tap.layer,
        channels=channels,
        height=height,
        width=width,
        receptive_field_px=tap.receptive_field,
        origin_px=tap.origin,
        stride_px=tap.stride,
    )


def refused_info(refused: InvalidPackage) -> ModelInfo:
    return ModelInfo(name=refused.name, version=refused.version, status="invalid", reason=refused.reason)


def _input_facts(model: ServedModel) -> InputFacts:
    spec = model.spec
    height, width = spec.input.size or (None, None)
    return InputFacts(
        kind=spec.input.kind,
        channels=spec.input.channels,
        letters=spec.input.letters,
        height=height,
        width=width,
        smallest_image_px=spec.input.smallest_image,
        pixel_size_um=spec.pixel_size_um,
    )
