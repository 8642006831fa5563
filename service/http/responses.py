"""Responses: results as JSON in the wire format, or as bytes with the same facts in X-Striate-* headers.

Their memory is reserved before they are sent, and given back afterwards.
"""

import json
import time
from pathlib import PurePath
from urllib.parse import quote

import orjson
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import StriateError
from models.package import Package
from service.api.answers import Answer, Failure, ModelRef
from service.errors import AnswerTooLarge, MemoryFull
from service.http.errors import response
from service.pipeline.pipeline import Result
from service.scheduling.memory_budget import MemoryBudget
from service.scheduling.work import Reservation
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


class MemoryMiddleware:
    """ASGI middleware with the memory of every request: of its body, and of its answer until it has been sent.

    An answer for which there is no room within the request's time is replaced by the error. scope["reservation"]: the
    request's Reservation.
    """

    def __init__(self, app: ASGIApp, *, memory: MemoryBudget, timeout_s: float) -> None:
        self._app, self._memory, self._timeout_s = app, memory, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        refused = False
        until = time.monotonic() + self._timeout_s  # asyncio's clock too

        async def send_reserved(message: Message) -> None:
            nonlocal start, refused
            if message["type"] == "http.response.start":
                start = message
            elif not refused:
                try:
                    await reservation.reserve_answer(len(message.get("body", b"")), until=until)
                except (AnswerTooLarge, MemoryFull) as error:
                    refused = True
                    await response(error)(scope, receive, send)
                    return
                if start is not None:
                    await send(start)
                    start = None
                await send(message)

        with Reservation(self._memory) as reservation:
            scope["reservation"] = reservation
            await self._app(scope, receive, send_reserved)
