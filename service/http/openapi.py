"""The service as an OpenAPI 3.1 document, made from the wire format itself so that it cannot say anything else."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from models.decode import FORMATS
from models.errors import ImageError, StriateError
from service.api.answers import Health, WireError
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
from service.repository.errors import RolloutError, UnknownModel, UnknownVersion, WrongTask
from service.security.errors import AccessDenied, AuditUnavailable, RateLimited
from service.tasks import TASKS
from service.tasks.task import Task

Json = dict[str, Any]
Errors = tuple[type[StriateError], ...]
_KEYED: Errors = (AccessDenied, RateLimited)
_IMAGE: Errors = (TooLarge, ImageError, InputError, RetryLater, DeadlinePassed, CrossOrigin)
_QUESTION: Errors = (*_IMAGE, FormError, WrongTask)
_TENSORS: Errors = (*_IMAGE, TooLargeForOnePass, UnknownVersion, TensorError)
_INDEX: Errors = (InvalidOption, TooManyBytes, NotReady, CrossOrigin, AuditUnavailable)
_CHANGE: Errors = (*_INDEX, UnknownModel, RolloutError, DeadlinePassed)
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
    """Every route with its fields and answers; version is the service's."""
    wire: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "serialization") for model in _ANSWERS]
    wire += [(model, "validation") for model in _ASKED]
    _, schemas = models_json_schema(wire, ref_template=_REF + "{model}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Striate", "version": version, "description": "What is it, where, and which pixels."},
        "paths": _paths() | _protocol() | _operator(),
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _paths() -> Json:
    text: Json = {"text/plain": {"schema": {"type": "string"}}}
    tasks: Json = {f"/{name}": {"post": _question(task)} for name, task in TASKS.items()}
    return tasks | {
        "/models": {"get": _operation("What serves, and what was refused and why.", _json(Models), NotReady)},
        "/models/{name}": {"get": _operation("One model.", _json(ModelInfo), UnknownModel, NotReady)} | _path("name"),
        "/models/{name}/filters": {"get": _filters()},
        "/models/{name}/files/{file}": {
            "get": _operation("A file of the package.", _PACKAGED, UnknownModel, UnknownFile, NotReady)
        }
        | _path("name", "file"),
        "/readyz": {"get": _open("Whether every wanted model serves.", _json(Health), NotReady)},
        "/livez": {"get": _open("Whether the process answers.", _json(Health))},
        "/healthz": {"get": _open("As /livez.", _json(Health))},
        "/metrics": {"get": _operation("Prometheus metrics.", text)},
        "/docs.json": {"get": _operation("This document.", {"application/json": {"schema": {"type": "object"}}})},
        "/": {"get": _open("The page for a browser, else the routes.", _FRONT)},
        "/web/{file}": {"get": _open("A file of the page.", _STATIC, UnknownFile)} | _path("file"),
    }


def _protocol() -> Json:
    """The Open Inference Protocol's routes; those of a model are there with and without its version."""
    server = {
        "/v2": {"get": _operation("What the server is.", _json(ServerMetadata))},
        "/v2/health/live": {"get": _open("Whether the process answers.", _json(ServerLive))},
        "/v2/health/ready": {"get": _open("Whether every wanted model serves.", _json(ServerReady), NotReady)},
        "/v2/models/stats": {"get": _operation("What each model has answered.", _json(AllStats), NotReady)},
    }
    absent: Errors = (UnknownModel, UnknownVersion, NotReady)
    model = {
        "": {"get": _operation("A model's tensors.", _json(ModelMetadata), *absent)},
        "/ready": {"get": _operation("Whether the model serves.", _json(ModelReady), *absent)},
        "/stats": {"get": _operation("What the model has answered.", _json(AllStats), *absent)},
        "/infer": {"post": _infer()},
    }
    named = {f"/v2/models/{{name}}{route}": item | _path("name") for route, item in model.items()}
    versioned = {
        f"/v2/models/{{name}}/versions/{{version}}{route}": item | _path("name", "version")
        for route, item in model.items()
    }
    return server | named | versioned


def _operator() -> Json:
    """Which versions serve; a body may be empty."""
    changes: dict[str, tuple[str, type[BaseModel]]] = {
        "load": ("Serves a model again, or a version from now on.", LoadRequest),
        "unload": ("Serves a model no more.", UnloadRequest),
        "rollback": ("Serves the version that served before.", Nothing),
        "rollout": ("Says who serves, who answers a share, who is a shadow.", RolloutRequest),
    }
    index = _operation("Every version.", _json(Index), *_INDEX)
    routes = {"/v2/repository/index": {"post": index | {"requestBody": {"content": _json(IndexRequest)}}}}
    for route, (summary, asked) in changes.items():
        operation = _operation(summary, _json(ModelInfo), *_CHANGE) | {"requestBody": {"content": _json(asked)}}
        routes[f"/v2/repository/models/{{name}}/{route}"] = {"post": operation} | _path("name")
    return routes


def _infer() -> Json:
    """JSON, or JSON and binary data after it, in both directions."""
    length = {"name": JSON_LENGTH, "in": "header", "schema": {"type": "integer", "minimum": 0}}
    body = {"required": True, "content": _json(InferRequest) | _BYTES}
    content = _json(InferResponse) | _BYTES
    operation = _operation("The network's outputs for tensors or image files.", content, *_TENSORS)
    return operation | {"parameters": [length], "requestBody": body}


def _path(*names: str) -> Json:
    found = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    return {"parameters": found}


def _question(task: Task[Any, Any]) -> Json:
    """An operation that takes an image: as a form with the options, or as the body with the options in the query."""
    model = {"type": "string", "description": "May be left out where one model alone does the task."}
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
    """An option's schema without null, which neither a form nor a query can say."""
    given: Json = next((schema for schema in field.get("anyOf", ()) if schema != {"type": "null"}), {})
    return {key: value for key, value in field.items() if key != "anyOf" and value is not None} | given


def _operation(summary: str, content: Json, *errors: type[StriateError]) -> Json:
    """An operation that needs a key where the service has keys. errors: its own, single ones or whole families."""
    return _open(summary, content, *_KEYED, *errors) | {"security": [{}, {"bearer": []}, {"key": []}]}


def _open(summary: str, content: Json, *errors: type[StriateError]) -> Json:
    """An operation that never needs a key."""
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
