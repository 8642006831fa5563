"""Inference responses: outputs as JSON, or as binary data after it."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from models.image import Array
from models.spec import ModelSpec
from service.errors import InvalidOption
from service.http.errors import BadTensor
from service.http.openinference.bodies import JSON_LENGTH, accepted, compressed
from service.http.openinference.infer_request import IMAGE_BYTES, ParsedInferRequest, RequestedOutput
from service.http.openinference.tensors import joined
from service.pipeline.pipeline import Result
from service.tasks.classification import rank
from service.tasks.task import Outputs

Results = Sequence[Result[Outputs]]
_MAX_JSON_NUMBERS = 2**22
_WORTH_BYTES = 1024  # a smaller body is not worth compressing


def answer(asked: ParsedInferRequest, results: Results, *, accept_encoding: str) -> Response:
    """Builds the response. results: one for each image. Raises BadTensor, InvalidOption."""
    model = results[0].model
    outputs, binary = [], []
    for wanted in asked.outputs:
        output, data = _output(wanted, results, model.spec)
        outputs.append(output)
        binary.extend(data)
    document = {"model_name": model.spec.name, "model_version": model.spec.version}
    if asked.id is not None:
        document["id"] = asked.id
    parameters = {"sha256": model.package.sha256, "warnings": _warnings(results)}
    text = orjson.dumps({**document, "parameters": parameters, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return _response(text, binary, accept_encoding=accept_encoding)


def size_of(results: Results) -> int:
    """Returns the approximate size of all outputs in bytes."""
    return sum(output.nbytes for result in results for output in result.value.values())


def _output(
    wanted: RequestedOutput, results: Results, spec: ModelSpec
) -> tuple[dict[str, Any], list[bytes | memoryview]]:
    """Returns one output's JSON, and its binary data if requested."""
    each = [result.value[wanted.name] for result in results]
    if wanted.top is not None:
        return _classes(wanted, each, spec, top=wanted.top)
    values = _stacked(each)
    output: dict[str, Any] = {"name": wanted.name, "datatype": "FP32", "shape": values.shape}
    if wanted.binary:
        return output | {"parameters": {"binary_data_size": values.nbytes}}, [values.data.cast("B")]
    if values.size > _MAX_JSON_NUMBERS:
        limit = f"an output of more than {_MAX_JSON_NUMBERS:,} numbers, here {values.size:,}, is answered as binary"
        raise InvalidOption("binary_data", False, f"{limit} data only")
    return output | {"data": values.ravel()}, []


def _classes(
    wanted: RequestedOutput, each: list[Array], spec: ModelSpec, *, top: int
) -> tuple[dict[str, Any], list[bytes | memoryview]]:
    """Returns the most probable classes of each image in Triton's format, "value:index:label"."""
    places = {known.label: place for place, known in enumerate(spec.classes)}
    texts = [
        f"{found.probability:.6f}:{places[found.label]}:{found.label}"
        for probabilities in each
        for found in rank(probabilities, spec, top_k=top)
    ]
    output: dict[str, Any] = {"name": wanted.name, "datatype": "BYTES", "shape": (len(each), len(texts) // len(each))}
    if not wanted.binary:
        return output | {"data": texts}, []
    data = joined(texts)
    return output | {"parameters": {"binary_data_size": len(data)}}, [data]


def _stacked(each: list[Array]) -> Array:
    """Stacks arrays into (N, ...) float32, little-endian and contiguous."""
    sizes = {array.shape for array in each}
    if len(sizes) > 1:
        listed = ", ".join(" x ".join(map(str, shape[1:])) for shape in sorted(sizes))
        raise BadTensor(IMAGE_BYTES, f"its images have different sizes, {listed}, and so have their answers")
    whole = each[0][None] if len(each) == 1 else np.stack(each)
    return np.ascontiguousarray(whole, "<f4")


def _warnings(results: Results) -> str:
    """Joins the codes of all images' warnings; the protocol's parameters hold no lists."""
    return ",".join(sorted({warning.code for result in results for warning in result.warnings}))


def _response(text: bytes, binary: list[bytes | memoryview], *, accept_encoding: str) -> Response:
    body = b"".join(chain([text], binary)) if binary else text
    headers = {"Vary": "Accept-Encoding"}
    if binary:
        headers[JSON_LENGTH] = str(len(text))
    if len(body) >= _WORTH_BYTES and (encoding := accepted(accept_encoding)):
        headers["Content-Encoding"] = encoding
        body = compressed(body, encoding)
    return Response(body, headers=headers, media_type="application/octet-stream" if binary else "application/json")
