"""Requests of the protocol, put together by hand, good and bad; and the numbers of an answer."""

from base64 import b64encode
from typing import Any

import httpx
import numpy as np
import orjson

from models.image import Array
from tests import tiny

LENGTH = "Inference-Header-Content-Length"
Json = dict[str, Any]
INFER = "/v2/models/brightness/infer"


def prepared(*values: float) -> Array:
    """(N, 1, 8, 8) float32, one intensity an image, as tiny.brightness takes it."""
    return np.repeat(np.array(values, np.float32), 64).reshape(-1, 1, 8, 8)


def tensor(values: Array, **fields: Any) -> Json:
    """The input `image` as JSON."""
    given = {"name": "image", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}
    return without_none(given | fields)


def images(*files: bytes, **fields: Any) -> Json:
    """The input `image_bytes` as JSON."""
    data = [b64encode(file).decode() for file in files]
    return without_none({"name": "image_bytes", "datatype": "BYTES", "shape": [len(files)], "data": data} | fields)


def output(name: str, **parameters: Any) -> Json:
    return {"name": name, "parameters": parameters}


def ask(given: Json, *outputs: Json, **fields: Any) -> Json:
    return {"inputs": [given], "outputs": list(outputs), **fields}


def binary(request: Json, data: bytes) -> tuple[bytes, dict[str, str]]:
    """The request with its input's data after the JSON, and the header that says where."""
    (given,) = request["inputs"]
    given = {key: value for key, value in given.items() if key != "data"}
    parameters = {**given.get("parameters", {}), "binary_data_size": len(data)}
    text = orjson.dumps({**request, "inputs": [{**given, "parameters": parameters}]})
    return text + data, {LENGTH: str(len(text))}


def elements(*files: bytes) -> bytes:
    return b"".join(len(file).to_bytes(4, "little") + file for file in files)


def outputs_of(body: bytes, length: str) -> tuple[Json, dict[str, bytes]]:
    """An answer with binary data -> its JSON, and each output's bytes."""
    document, rest = orjson.loads(body[: int(length)]), body[int(length) :]
    found = {}
    for each in document["outputs"]:
        size = each["parameters"]["binary_data_size"]
        found[each["name"]], rest = rest[:size], rest[size:]
    assert not rest
    return document, found


def without_none(fields: Json) -> Json:
    return {key: value for key, value in fields.items() if value is not None}


PROBABILITIES = output("probabilities")


def expected(*means: float) -> Array:
    """(N, 3): what tiny.brightness must answer."""
    return np.array([list(tiny.brightness_of(mean).values()) for mean in means])


def numbers(answer: httpx.Response, name: str = "probabilities") -> Array:
    assert answer.status_code == 200, answer.text
    (found,) = (each for each in answer.json()["outputs"] if each["name"] == name)
    return np.array(found["data"], np.float32).reshape(found["shape"])
