"""The service as an OpenAPI 3.1 document, made from the wire format itself so that it cannot say anything else."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.schemas import (
    CamOptions,
    Health,
    Measurements,
    ModelInfo,
    Models,
    Prediction,
    Predictions,
    PredictOptions,
    SegmentOptions,
    WireError,
)

Json = dict[str, Any]
_REF = "#/components/schemas/"
_PNG: Json = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
_NPY: Json = {"application/x-npy": {"schema": {"type": "string", "format": "binary"}}}
_ANSWERS: tuple[type[BaseModel], ...] = (Prediction, Predictions, Measurements, Models, ModelInfo, Health, WireError)


def document(*, version: str) -> Json:
    """Every route with its fields and answers; version is the service's."""
    _, schemas = models_json_schema([(model, "serialization") for model in _ANSWERS], ref_template=_REF + "{model}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Striate", "version": version, "description": "What is it, where, and which pixels."},
        "paths": _paths(),
        "components": {"schemas": schemas["$defs"]},
    }


def _paths() -> Json:
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    text: Json = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/predict": {
            "post": _question("Which classes each image shows.", PredictOptions, _json(Prediction, Predictions))
        },
        "/cam": {"post": _question("Where the network saw a class.", CamOptions, _PNG | _NPY)},
        "/segment": {"post": _question("Which pixels are what.", SegmentOptions, _PNG | _NPY | _json(Measurements))},
        "/models": {"get": _operation("What serves, and what was refused and why.", _json(Models))},
        "/models/{name}": {"get": _operation("One model.", _json(ModelInfo)) | {"parameters": [name]}},
        "/readyz": {"get": _operation("Whether every wanted model serves.", _json(Health))},
        "/livez": {"get": _operation("Whether the process answers.", _json(Health))},
        "/healthz": {"get": _operation("As /livez.", _json(Health))},
        "/metrics": {"get": _operation("Prometheus metrics.", text)},
        "/docs.json": {"get": _operation("This document.", {"application/json": {"schema": {"type": "object"}}})},
        "/": {"get": _operation("The routes.", {"application/json": {"schema": {"type": "object"}}})},
    }


def _question(summary: str, options: type[BaseModel], content: Json) -> Json:
    """An operation that takes an image: as a form with the options, or as the body with the options in the query."""
    fields = options.model_json_schema()["properties"]
    image = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    model = {"type": "string", "description": "May be left out where one model alone does the task."}
    form = {"type": "object", "required": ["image"], "properties": {"image": image, "model": model, **fields}}
    return _operation(summary, content) | {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "image/*": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    }


def _operation(summary: str, content: Json) -> Json:
    responses = {"200": {"description": "The answer.", "content": content}}
    return {"summary": summary, "responses": responses | {"default": _error()}}


def _error() -> Json:
    return {"description": "What was wrong and what is allowed.", "content": _json(WireError)}


def _json(*answers: type[BaseModel]) -> Json:
    refs = [{"$ref": _REF + answer.__name__} for answer in answers]
    return {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
