"""The HTTP routes, as one Starlette application; app.py mounts it in the BentoML service, tests run it in process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.errors import StriateError
from service import answers
from service.answers import json_response
from service.deadline import Deadline
from service.errors import (
    STATUS,
    Internal,
    MethodNotAllowed,
    NoSuchRoute,
    TooManyImages,
    handle,
    response,
)
from service.incoming import Options, incoming, options_of, require
from service.metrics import CONTENT_TYPE
from service.observe import Exchange, Observed, count_error, log_bug
from service.openapi import document
from service.pipeline import Result
from service.repository import Repository, Served, Task
from service.runtime import Runtime
from service.schemas import (
    CamOptions,
    ClassProbability,
    Failure,
    Health,
    Models,
    Prediction,
    Predictions,
    PredictOptions,
    SegmentOptions,
)
from service.session import Session
from service.settings import Settings

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Call(Generic[Options]):
    """One understood request for a model."""

    images: tuple[bytes, ...]
    model: Served
    options: Options
    deadline: Deadline
    exchange: Exchange


class Routes:
    """The handlers: each says what it answers and hands on."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pipeline = runtime.pipeline

    def table(self) -> list[Route]:
        return [
            Route("/predict", self.predict, methods=["POST"]),
            Route("/cam", self.cam, methods=["POST"]),
            Route("/segment", self.segment, methods=["POST"]),
            Route("/models", self.models),
            Route("/models/{name}", self.model),
            Route("/readyz", self.readyz),
            Route("/livez", self.livez),
            Route("/healthz", self.livez),
            Route("/metrics", self.metrics),
            Route("/docs.json", self.docs),
            Route("/", self.index),
        ]

    async def predict(self, request: Request) -> Response:
        """Which classes each image shows, most probable first."""
        call = await self._call(
            request, PredictOptions, task="classification", max_images=self._runtime.settings.max_images
        )
        request_id = call.exchange.request_id
        if len(call.images) == 1:
            result = await self._pipeline.predict(call.images[0], call.model, call.options, deadline=call.deadline)
            return json_response(answers.prediction(result, request_id=request_id))
        results = await self._predict_each(call)
        model = answers.reference(call.model.package)
        return json_response(Predictions(model=model, request_id=request_id, results=tuple(results)))

    async def cam(self, request: Request) -> Response:
        """Where the network saw a class: a picture, or the map's numbers."""
        call = await self._call(request, CamOptions, task="classification", needs_map=True)
        return answers.cam_picture(
            await self._pipeline.cam(call.images[0], call.model, call.options, deadline=call.deadline)
        )

    async def segment(self, request: Request) -> Response:
        """Which pixels belong to what: a mask, a picture, probabilities or measurements."""
        call = await self._call(request, SegmentOptions, task="segmentation")
        image, rest = call.images[0], (call.model, call.options)
        if call.options.format == "measurements":
            measured = await self._pipeline.measure(image, *rest, deadline=call.deadline)
            # Thousands of objects take a while to write down.
            answer = await run_in_threadpool(answers.measurements, measured, request_id=call.exchange.request_id)
            return await run_in_threadpool(json_response, answer)
        return answers.mask_picture(await self._pipeline.segment(image, *rest, deadline=call.deadline))

    async def models(self, _: Request) -> Response:
        """What serves, and what was refused and why."""
        repository = self._runtime.repository
        served = [answers.model_info(model) for model in repository.served.values()]
        refused = [answers.refused_info(refused) for refused in repository.refused]
        return json_response(Models(models=(*served, *refused)))

    async def model(self, request: Request) -> Response:
        """One model by its name."""
        return json_response(answers.model_info(self._runtime.repository.get(request.path_params["name"])))

    async def readyz(self, _: Request) -> Response:
        """Whether every wanted model serves."""
        self._runtime.check_ready()
        return json_response(Health(status="ready"))

    async def livez(self, _: Request) -> Response:
        """Whether the process answers at all."""
        return json_response(Health(status="alive"))

    async def metrics(self, _: Request) -> Response:
        """Prometheus metrics."""
        return Response(self._runtime.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    async def docs(self, _: Request) -> Response:
        """This service as an OpenAPI 3.1 document."""
        return JSONResponse(document(version=VERSION))

    async def index(self, _: Request) -> Response:
        """The routes."""
        routes = {route.path: (route.endpoint.__doc__ or "").strip() for route in self.table()}
        return JSONResponse({"service": "striate", "routes": routes})

    async def _call(
        self, request: Request, kind: type[Options], *, task: Task, needs_map: bool = False, max_images: int = 1
    ) -> Call[Options]:
        """Reads and checks a request. Raises RequestError or NotReady."""
        settings, repository = self._runtime.settings, self._runtime.repository
        deadline = Deadline.after(settings.timeout_s)
        async with deadline.enforced():
            sent = await incoming(request, max_bytes=settings.max_upload_bytes)
        options = options_of(kind, sent.fields)
        name = require(sent.images, sent.fields.get("model") or None, able=repository.able(task))
        model = repository.choose(name, task=task, needs_map=needs_map)
        if len(sent.images) > max_images:
            raise TooManyImages(len(sent.images), limit=max_images)
        exchange: Exchange = request.scope["exchange"]
        exchange.model = model.spec.name
        return Call(sent.images, model, options, deadline, exchange)

    async def _predict_each(self, call: Call[PredictOptions]) -> list[Prediction | Failure]:
        """Every image by itself, a few at a time, so that one request cannot fill the queue."""
        settings = self._runtime.settings
        at_once = asyncio.Semaphore(min(settings.worker_threads, settings.queue_length))

        async def one(image: bytes) -> Result[tuple[ClassProbability, ...]]:
            async with at_once:
                return await self._pipeline.predict(image, call.model, call.options, deadline=call.deadline)

        results = await asyncio.gather(*map(one, call.images), return_exceptions=True)
        return [self._one_of_many(result, call.exchange) for result in results]

    def _one_of_many(
        self, result: Result[tuple[ClassProbability, ...]] | BaseException, exchange: Exchange
    ) -> Prediction | Failure:
        if isinstance(result, Result):
            return answers.prediction(result, request_id=exchange.request_id)
        if not isinstance(result, Exception):
            raise result
        error = result if isinstance(result, StriateError) and type(result) in STATUS else Internal()
        if error is not result:
            log_bug(result, exchange)
        count_error(self._runtime.metrics, error.code)
        return answers.failure(error)


def create_app(
    settings: Settings,
    *,
    open_session: Callable[[Path], Session] | None = None,
    on_ready: Callable[[Repository], None] = lambda _: None,
) -> Starlette:
    """The whole service as an ASGI application; it loads its models when its lifespan begins.

    open_session: what turns an ONNX file into a Session, ONNX Runtime on the settings' device by default.
    """
    runtime = Runtime(settings, on_ready=on_ready)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(runtime.start(open_session))
        loading.add_done_callback(_log_failure)
        try:
            yield
        finally:
            await asyncio.wait([loading])
            runtime.close()

    routes = Routes(runtime).table()
    paths = [route.path for route in routes]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Observed, metrics=runtime.metrics, routes=paths)],
        exception_handlers={StriateError: handle, HTTPException: routing_error(paths)},
    )


def _log_failure(loading: asyncio.Task[None]) -> None:
    """Loading does not fail over a package, so this is a bug; the service stays alive and not ready, which is seen."""
    error = loading.exception()
    if isinstance(error, Exception):
        log_bug(error, Exchange("start"))


def routing_error(paths: list[str]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Starlette's 404 and 405, in our shape."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "").split(", ")
            return response(MethodNotAllowed(request.method, allowed=sorted(allowed)))
        return response(NoSuchRoute(paths))

    return answer
