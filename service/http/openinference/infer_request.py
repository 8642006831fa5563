"""Inference requests: their images, requested outputs, priority and timeout."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, TypeVar

from models.errors import ImageTooSmall, TooManyPixels
from models.image import Array
from models.spec import ModelSpec
from service.errors import InvalidOption
from service.http.errors import BadTensor, MalformedRequest, TooManyImages, UnknownTensor
from service.http.openinference.bodies import split
from service.http.openinference.schemas import MAX_ID
from service.http.openinference.tensors import files, numbers
from service.scheduling.work import Priority
from service.settings import Settings

IMAGE, IMAGE_BYTES = "image", "image_bytes"  # the first is the name that rdf.yaml and the network give their input
T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """One output. top: the number of classes to return, most probable first, instead of the values."""

    name: str
    binary: bool
    top: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedInferRequest:
    """images: each a file's bytes, or a prepared tensor (C, H, W) float32."""

    id: str | None
    images: tuple[bytes | Array, ...]
    outputs: tuple[RequestedOutput, ...]
    priority: Priority
    timeout_s: float | None


def parse_infer_request(
    body: bytes | bytearray,
    json_length: str | None,
    spec: ModelSpec,
    settings: Settings,
    *,
    reserve: Callable[[int], None],
) -> ParsedInferRequest:
    """Parses an uncompressed body. json_length: the header bodies.JSON_LENGTH. reserve: see bodies.split.

    Raises MalformedRequest, UnknownTensor, BadTensor, InvalidOption, TooManyImages and ImageError.
    """
    document, binary = split(body, json_length, reserve=reserve)
    parameters = _field("the request", document, "parameters", dict, {})
    images = _images(document, binary, spec, settings)
    return ParsedInferRequest(
        id=_id(document),
        images=images,
        outputs=_outputs(document, spec, binary=_flag(parameters, "binary_data_output", False)),
        priority=_priority(parameters, count=len(images)),
        timeout_s=_timeout_s(parameters),
    )


def _id(document: Json) -> str | None:
    found = _field("the request", document, "id", str, None)
    if found and len(found) > MAX_ID:
        raise MalformedRequest(f"The 'id' has {len(found):,} characters; at most {MAX_ID:,} are allowed.")
    return found


def _images(document: Json, binary: memoryview, spec: ModelSpec, settings: Settings) -> tuple[bytes | Array, ...]:
    sent = _field("the request", document, "inputs", list, [])
    if len(sent) != 1 or not isinstance(sent[0], dict):
        raise MalformedRequest(f"'inputs' must hold one tensor, {IMAGE!r} or {IMAGE_BYTES!r}; it has {len(sent)}.")
    tensor = sent[0]
    name = _field("the input", tensor, "name", str, "")
    if name not in (IMAGE, IMAGE_BYTES):
        raise UnknownTensor(name, kind="input", model=spec.name, allowed=(IMAGE, IMAGE_BYTES))
    datatype = "FP32" if name == IMAGE else "BYTES"
    if tensor.get("datatype") != datatype:
        raise BadTensor(name, f"its datatype is {_quoted(tensor.get('datatype'))}; it must be {datatype!r}")
    shape = _shape(name, tensor)
    data = _data(name, tensor, binary)
    if name == IMAGE:
        _check_shape(shape, spec, settings)
        return tuple(numbers(name, shape, data))
    if len(shape) > 2 or shape[1:] not in ((), (1,)):
        raise BadTensor(name, f"its shape is {list(shape)}; it must be [N] or [N, 1], one element an image")
    _check_count(shape[0], settings)
    return tuple(files(name, shape[0], data))


def _shape(name: str, tensor: Json) -> tuple[int, ...]:
    shape = _field(f"the input {name!r}", tensor, "shape", list, [])
    if not 1 <= len(shape) <= 4 or any(type(side) is not int or side < 1 for side in shape):
        raise BadTensor(name, f"its shape is {_quoted(shape)}; it must be 1 to 4 numbers, each at least 1")
    return tuple(shape)


def _check_shape(shape: tuple[int, ...], spec: ModelSpec, settings: Settings) -> None:
    """Checks prepared tensors. Raises BadTensor, TooManyImages, TooManyPixels, ImageTooSmall."""
    size = spec.input.size or shape[2:]
    if len(shape) != 4 or shape[1:] != (spec.input.channels, *size):
        takes = ["N", spec.input.channels, *(spec.input.size or ("H", "W"))]
        raise BadTensor(IMAGE, f"its shape is {list(shape)}; the model takes [{', '.join(map(str, takes))}]")
    _check_count(shape[0], settings)
    height, width = size
    if prod(size) > settings.max_pixels:
        raise TooManyPixels(width=width, height=height, limit=settings.max_pixels)
    if min(size) < spec.input.smallest_image:
        raise ImageTooSmall(width=width, height=height, minimum=spec.input.smallest_image)


def _check_count(count: int, settings: Settings) -> None:
    if count > settings.max_images:
        raise TooManyImages(count, limit=settings.max_images)


def _data(name: str, tensor: Json, binary: memoryview) -> list[Any] | memoryview:
    """Returns the input's data, from the JSON or after it. Raises BadTensor, MalformedRequest."""
    size = _field(f"the input {name!r}", _parameters(tensor), "binary_data_size", int, None)
    if ("data" in tensor) == (size is not None):
        raise BadTensor(name, "its data must stand either in 'data' or after the JSON, with 'binary_data_size'")
    if len(binary) != (size or 0):
        raise BadTensor(name, f"its binary_data_size is {size or 0:,}, but {len(binary):,} bytes follow the JSON")
    if size is None:
        return _field(f"the input {name!r}", tensor, "data", list, [])
    return binary


def _outputs(document: Json, spec: ModelSpec, *, binary: bool) -> tuple[RequestedOutput, ...]:
    """Returns the requested outputs, or all. Raises UnknownTensor, InvalidOption, MalformedRequest."""
    asked = _field("the request", document, "outputs", list, [])
    if not asked:
        return tuple(RequestedOutput(name, binary) for name in spec.output_names)
    wanted = tuple(_output(output, spec, binary=binary) for output in asked)
    if len({output.name for output in wanted}) < len(wanted):
        raise MalformedRequest("'outputs' names an output twice.")
    return wanted


def _output(output: object, spec: ModelSpec, *, binary: bool) -> RequestedOutput:
    if not isinstance(output, dict):
        raise MalformedRequest("'outputs' must hold objects with a 'name'.")
    name = _field("the output", output, "name", str, "")
    if name not in spec.output_names:
        raise UnknownTensor(name, kind="output", model=spec.name, allowed=spec.output_names)
    parameters = _parameters(output)
    top = _field(f"the output {name!r}", parameters, "classification", int, None)
    if top is not None and (top < 1 or spec.task != "classification" or name != spec.names["probabilities"]):
        raise InvalidOption("classification", top, "it is a number from 1 up, of a classifier's 'probabilities'")
    return RequestedOutput(name, _flag(parameters, "binary_data", binary), top)


def _priority(parameters: Json, *, count: int) -> Priority:
    """Converts Triton's priority: 1 is the highest, 0 the default. Requests of several images are always bulk."""
    sent = _amount(parameters, "priority")
    return Priority.BULK if count > 1 or sent > 1 else Priority.INTERACTIVE


def _timeout_s(parameters: Json) -> float | None:
    """Converts Triton's timeout, in microseconds; 0 means none."""
    return 1e-6 * _amount(parameters, "timeout") or None


def _amount(parameters: Json, name: Literal["priority", "timeout"]) -> int:
    amount = _field("the request", parameters, name, int, 0)
    if amount < 0:
        raise InvalidOption(name, amount, "it must be 0 or more")
    return amount


def _flag(parameters: Json, name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidOption(name, _quoted(value), "it must be true or false")
    return value


def _parameters(of: Json) -> Json:
    return _field("a tensor", of, "parameters", dict, {})


def _field(where: str, of: Json, name: str, kind: type[T], default: Any) -> T:
    """Returns of[name], which must have this type (booleans are not numbers). Raises MalformedRequest."""
    value = of.get(name)
    if value is None:
        found: T = default
        return found
    if type(value) is not kind:
        raise MalformedRequest(f"In {where}, {name!r} is {_quoted(value)}; it must be {_KINDS[kind]}.")
    return value


_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "text", int: "a whole number"}


def _quoted(value: object) -> str:
    """Quotes a value in an error's sentence; of a list or an object, only its length: it may have millions of items."""
    if isinstance(value, list | dict):
        return f"{_KINDS[type(value)]} of {len(value):,} items"
    return repr(value[:100] if isinstance(value, str) else value)
