"""For schemathesis: real images among the made-up bytes and real models' names among the made-up ones.

So a part of the requests gets through to the networks. Imported in schemathesis' own environment, which has no numpy.
"""

import struct
import zlib
from typing import Any

import schemathesis
from hypothesis import strategies as st

MODELS = ("brightness", "blobs", "tissue")


def png(width: int, height: int, *, colour: int = 0) -> bytes:
    """A grey (0) or RGB (2) PNG of 8 bits."""
    row = b"\0" + bytes(range(200, 200 + width)) * (3 if colour == 2 else 1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * height)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


GOOD = [png(8, 8), png(8, 8, colour=2), png(13, 40), png(3, 3)]
DAMAGED = [GOOD[0][:-20], GOOD[0][:40] + b"\xff" + GOOD[0][41:]]
FILES = st.one_of(st.sampled_from(GOOD), st.sampled_from(DAMAGED), st.binary(max_size=200))
for kind in ("image/png", "image/jpeg", "image/tiff", "application/x-npy"):
    schemathesis.openapi.media_type(kind, FILES)
schemathesis.openapi.format("binary", FILES)


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    if path_parameters and len(str(path_parameters.get("name", ""))) % 3:
        path_parameters["name"] = MODELS[len(str(path_parameters["name"])) % 3 - 1]
        if "version" in path_parameters and len(str(path_parameters["version"])) % 2:
            path_parameters["version"] = "1.0"
    return path_parameters


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without half of the queries, of which most repeat a field of the form."""
    if len(str(query)) % 2:
        return {}
    if query and len(str(query.get("model", ""))) % 3:
        query["model"] = MODELS[len(str(query["model"])) % 3]
    return query


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Of tensors that are not what their shape says, some are made so."""
    if isinstance(body, dict) and isinstance(body.get("inputs"), list) and len(str(body)) % 2:
        body["inputs"] = [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}]
        body.pop("outputs", None)
    return body
