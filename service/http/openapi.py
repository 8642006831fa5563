"""OpenAPI 3.1 document, generated from the tasks, the wire format and the error classes."""

from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from models.decode import FORMATS
from models.errors import ImageError, StriateError
from service.api.answers import Health, InputWarning, WireError
from service.api.model_info import (
    Index,
    IndexRequest,
    LoadRequest,
    ModelInfo,
    Models,
    Nothing,
    RolloutRequest,
    UnloadRequest,
)
from service.api.options import FilterOptions
from service.errors import (
    DeadlinePassed,
    InputError,
    InvalidOption,
    NotReady,
    RetryLater,
    TooLarge,
    TooLargeForOnePass,
    TooManyBytes,
    UnknownLayer,
)
from service.http.errors import (
    BodyTooSlow,
    CrossOrigin,
    FormError,
    Internal,
    MalformedRequest,
    TensorError,
    UnknownField,
    UnknownFile,
    members,
)
from service.http.openinference.bodies import JSON_LENGTH
from service.http.openinference.schemas import (
    AllStats,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from service.pipeline.prepare import WarningCode
from service.repository.errors import RolloutError, UnknownModel, UnknownVersion, WrongTask
from service.security.errors import AccessDenied, AuditUnavailable, RateLimited
from service.tasks import TASKS
from service.tasks.task import Task

Json = dict[str, Any]
Errors = tuple[type[StriateError], ...]
_KEYED: Errors = (AccessDenied, RateLimited)
_IMAGE: Errors = (TooLarge, ImageError, InputError, RetryLater, BodyTooSlow, DeadlinePassed, CrossOrigin)
_QUESTION: Errors = (*_IMAGE, FormError, WrongTask)
_TENSORS: Errors = (*_IMAGE, TooLargeForOnePass, UnknownVersion, TensorError)
_INDEX: Errors = (InvalidOption, TooManyBytes, NotReady, BodyTooSlow, DeadlinePassed, CrossOrigin, AuditUnavailable)
_CHANGE: Errors = (*_INDEX, UnknownModel, RolloutError)
_REF = "#/components/schemas/"
_BODIES = ("application/x-npy", "application/octet-stream")
_FILE: Json = {"type": "string", "format": "binary"}
_SIGNAL: Json = {"type": ["array", "string"], "description": "A signal's values, or a sequence's letters."}
_PNG: Json = {"image/png": {"schema": _FILE}}
_NPY: Json = {"application/x-npy": {"schema": _FILE}}
_BYTES: Json = {"application/octet-stream": {"schema": _FILE}}
_TEXT: Json = {"schema": {"type": "string"}}
_PACKAGED: Json = _PNG | _BYTES | {"text/markdown": _TEXT}
_FRONT: Json = {"application/json": {"schema": {"type": "object"}}, "text/html": _TEXT}
_STATIC: Json = {f"text/{kind}": _TEXT for kind in ("html", "css", "javascript")} | {"image/svg+xml": _TEXT}
_ANSWERS: tuple[type[BaseModel], ...] = (
    *(schema for task in TASKS.values() for schema in task.schemas), Models, ModelInfo, Health, WireError,
    AllStats, InferResponse, ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady, Index,
)  # fmt: skip
_ASKED: tuple[type[BaseModel], ...] = (InferRequest, IndexRequest, LoadRequest, UnloadRequest, Nothing, RolloutRequest)


def document(*, version: str) -> Json:
    """Returns the document. version: of the service."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Striate", "version": version, "description": "Networks for biomedical images."},
        "paths": _paths() | _protocol() | _operator(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _schemas() -> Json:
    """Describes every body. The codes of warnings come from the input checks, which the wire format cannot import."""
    wire: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "serialization") for model in _ANSWERS]
    wire += [(model, "validation") for model in _ASKED]
    schemas: Json = models_json_schema(wire, ref_template=_REF + "{model}")[1]["$defs"]
    warning = schemas[InputWarning.__name__]["properties"]
    warning["code"] = {"enum": list(get_args(WarningCode)), **warning["code"]}
    return schemas


def _paths() -> Json:
    text: Json = {"text/plain": {"schema": {"type": "string"}}}
    tasks: Json = {f"/{name}": {"post": _question(task)} for name, task in TASKS.items()}
    return tasks | {
        "/models": {"get": _operation("Every model, whether it serves, and why not.", _json(Models), NotReady)},
        "/models/{name}": {"get": _operation("One model.", _json(ModelInfo), UnknownModel, NotReady)} | _path("name"),
        "/models/{name}/filters": {"get": _filters()},
        "/models/{name}/files/{file}": {
            "get": _operation("A file of the package.", _PACKAGED, UnknownModel, UnknownFile, NotReady)
        }
        | _path("name", "file"),
        "/readyz": {"get": _open("Reports whether every wanted model serves.", _json(Health), NotReady)},
        "/livez": {"get": _open("Reports that the process is alive.", _json(Health))},
        "/healthz": {"get": _open("The same as /livez.", _json(Health))},
        "/metrics": {"get": _operation("Prometheus metrics.", text)},
        "/docs.json": {"get": _operation("This document.", {"application/json": {"schema": {"type": "object"}}})},
        "/": {"get": _open("The workbench page for a browser; the list of routes for other clients.", _FRONT)},
        "/web/{file}": {"get": _open("A file of the page.", _STATIC, UnknownFile)} | _path("file"),
    }


def _protocol() -> Json:
    """Describes the Open Inference Protocol's routes; a model's exist with and without a version."""
    server = {
        "/v2": {"get": _operation("The server's name, version and extensions.", _json(ServerMetadata))},
        "/v2/health/live": {"get": _open("Reports that the process is alive.", _json(ServerLive))},
        "/v2/health/ready": {"get": _open("Reports whether every wanted model serves.", _json(ServerReady), NotReady)},
        "/v2/models/stats": {"get": _operation("Statistics of every model.", _json(AllStats), NotReady)},
    }
    absent: Errors = (UnknownModel, UnknownVersion, NotReady)
    model = {
        "": {"get": _operation("A model's tensors.", _json(ModelMetadata), *absent)},
        "/ready": {"get": _operation("Reports whether the model serves.", _json(ModelReady), *absent)},
        "/stats": {"get": _operation("Statistics of one model.", _json(AllStats), *absent)},
        "/infer": {"post": _infer()},
    }
    named = {f"/v2/models/{{name}}{route}": item | _path("name") for route, item in model.items()}
    versioned = {
        f"/v2/models/{{name}}/versions/{{version}}{route}": item | _path("name", "version")
        for route, item in model.items()
    }
    return server | named | versioned


def _operator() -> Json:
    """Describes the operator's routes."""
    changes: dict[str, tuple[str, type[BaseModel]]] = {
        "load": ("Loads a model again, or pins a version.", LoadRequest),
        "unload": ("Unloads a model.", UnloadRequest),
        "rollback": ("Rolls back to the previous version.", Nothing),
        "rollout": ("Sets a model's pinned version, canary and shadow.", RolloutRequest),
    }
    index = _operation("Every version.", _json(Index), *_INDEX)
    routes = {"/v2/repository/index": {"post": index | {"requestBody": {"content": _json(IndexRequest)}}}}
    for route, (summary, asked) in changes.items():
        operation = _operation(summary, _json(ModelInfo), *_CHANGE) | {"requestBody": {"content": _json(asked)}}
        routes[f"/v2/repository/models/{{name}}/{route}"] = {"post": operation} | _path("name")
    return routes


def _infer() -> Json:
    """Describes inference: JSON, or JSON followed by binary data, in both directions."""
    length = {"name": JSON_LENGTH, "in": "header", "schema": {"type": "integer", "minimum": 0}}
    body = {"required": True, "content": _json(InferRequest) | _BYTES}
    content = _json(InferResponse) | _BYTES
    operation = _operation("The network's outputs for tensors or image files.", content, *_TENSORS)
    return operation | {"parameters": [length], "requestBody": body}


def _path(*names: str) -> Json:
    found = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    return {"parameters": found}


def _question(task: Task[Any, Any]) -> Json:
    """Describes a task's route: a form with image and options, or an image body with the options in the query."""
    model = {"type": "string", "description": "Optional if only one loaded model performs this task."}
    fields = {"model": model} | {
        name: _as_text(field) for name, field in task.options.model_json_schema()["properties"].items()
    }
    content: Json = {kind: {"schema": _FILE} for kind in task.media_types}
    content |= _json(*task.schemas) if task.schemas else {}
    image = {"type": "array", "items": _FILE, "minItems": 1}
    form = {
        "type": "object",
        "required": ["image"],
        "properties": {"image": image, **fields},
        "additionalProperties": False,
    }
    alone = {
        kind: {"schema": _FILE} for kind in (*(kind for format in FORMATS for kind in format.media_types), *_BODIES)
    } | {"application/json": {"schema": _SIGNAL}}
    return _operation(task.summary, content, *_QUESTION, *task.errors) | {
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}, **alone}},
    }


def _filters() -> Json:
    errors = (UnknownModel, UnknownField, InvalidOption, UnknownLayer, NotReady)
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    options = [
        {"name": option, "in": "query", "schema": _as_text(field)}
        for option, field in FilterOptions.model_json_schema()["properties"].items()
    ]
    return _operation("A network's first filters.", _PNG | _NPY, *errors) | {"parameters": [name, *options]}


def _as_text(field: Json) -> Json:
    """Returns an option's schema without null, which neither a form nor a query can express."""
    given: Json = next((schema for schema in field.get("anyOf", ()) if schema != {"type": "null"}), {})
    return {key: value for key, value in field.items() if key != "anyOf" and value is not None} | given


def _operation(summary: str, content: Json, *errors: type[StriateError]) -> Json:
    """Describes an operation that needs a key if the service has keys. errors: single ones or whole families."""
    return _open(summary, content, *_KEYED, *errors) | {"security": [{}, {"bearer": []}, {"key": []}]}


def _open(summary: str, content: Json, *errors: type[StriateError]) -> Json:
    """Describes an operation that never needs a key."""
    codes: dict[str, list[str]] = {}
    for error in dict.fromkeys(members(MalformedRequest, Internal, *errors)):
        codes.setdefault(str(error.status), []).append(error.code)
    refusals = {status: _refusal(codes[status]) for status in sorted(codes)}
    return {"summary": summary, "responses": {"200": {"description": "The answer.", "content": content}} | refusals}


def _refusal(codes: list[str]) -> Json:
    schema = {"allOf": [{"$ref": _REF + WireError.__name__}, {"properties": {"code": {"enum": codes}}}]}
    return {"description": ", ".join(codes), "content": {"application/json": {"schema": schema}}}


def _json(*answers: type[BaseModel]) -> Json:
    refs = [{"$ref": _REF + answer.__name__} for answer in answers]
    return {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
