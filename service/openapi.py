"""The service as an OpenAPI 3.1 document, made from the wire format itself."""

from typing import Any


def document() -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "Striate", "version": "0.1.0"}, "paths": {}}
