"""The HTTP routes, as one Starlette application; app.py mounts it in the BentoML service, tests run it in process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.errors import PackageError, StriateError
from models.package import Package
from service.api.answers import Failure, Health, Prediction, Predictions
from service.api.options import ActivationOptions, CamOptions, FilterOptions, PredictOptions, SegmentOptions
from service.errors import Internal, MethodNotAllowed, NoSuchRoute, NotReady, TooManyImages, UnknownLayer
from service.http import responses
from service.http.admin import AdminRoutes
from service.http.disconnect import DisconnectWatch
from service.http.errors import answerable, handle, response
from service.http.middleware import around, observers, open_audit_log
from service.http.middleware.access_log import RequestContext, count_error, log_bug
from service.http.model_listing import entry, inventory
from service.http.openapi import document
from service.http.openinference.routes import OpenInferenceRoutes
from service.http.request import Options, incoming, options_of, require
from service.http.responses import json_response
from service.http.workbench import Workbench, wants_page
from service.inference import Session
from service.lifecycle import Runtime
from service.pipeline.explain import class_map, layer_maps
from service.pipeline.prepare import Result
from service.repository.state import Repository, ServedModel, Task
from service.scheduling.deadline import Deadline
from service.scheduling.work_item import Priority
from service.settings import Settings
from service.tasks.activations import filters
from service.tasks.classification import Classified
from service.telemetry.export import ALONE, exporting
from service.telemetry.metrics import CONTENT_TYPE

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Call(Generic[Options]):
    """One understood request for a model."""

    images: tuple[bytes, ...]
    model: ServedModel
    options: Options
    deadline: Deadline
    exchange: RequestContext

    @property
    def one(self) -> tuple[bytes, ServedModel, Options]:
        """What the pipeline takes for the first image, of most requests the only one."""
        return self.images[0], self.model, self.options


class Routes:
    """The handlers: each says what it answers and hands on."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pipeline = runtime.pipeline
        self._workbench = Workbench(runtime)

    def table(self) -> list[Route]:
        return [
            Route("/predict", self.predict, methods=["POST"]),
            Route("/cam", self.cam, methods=["POST"]),
            Route("/segment", self.segment, methods=["POST"]),
            Route("/activations", self.activations, methods=["POST"]),
            Route("/models", self.models),
            Route("/models/{name}", self.model),
            Route("/models/{name}/filters", self.filters),
            *OpenInferenceRoutes(self._runtime, version=VERSION).table(),
            *AdminRoutes(self._runtime).table(),
            Route("/readyz", self.readyz),
            Route("/livez", self.livez),
            Route("/healthz", self.livez),
            Route("/metrics", self.metrics),
            Route("/docs.json", self.docs),
            Route("/", self.index),
            *self._workbench.table(),
        ]

    async def predict(self, request: Request) -> Response:
        """Which classes each image shows, most probable first."""
        limit = self._runtime.settings.max_images
        return await self._answered(request, PredictOptions, self._classes, task="classification", max_images=limit)

    async def cam(self, request: Request) -> Response:
        """Where the network saw a class: a picture, or the map's numbers."""
        return await self._answered(request, CamOptions, self._class_map, task="classification")

    async def activations(self, request: Request) -> Response:
        """What a layer sees in the image: its feature maps side by side, or their numbers."""
        return await self._answered(request, ActivationOptions, self._layer_maps, task="classification")

    async def segment(self, request: Request) -> Response:
        """Which pixels belong to what: a mask, a picture, probabilities or measurements."""
        return await self._answered(request, SegmentOptions, self._mask, task="segmentation")

    async def models(self, _: Request) -> Response:
        """What serves, and what was refused and why."""
        return json_response(inventory(await self._runtime.told()))

    async def model(self, request: Request) -> Response:
        """One model by its name, with all its versions."""
        return json_response(entry(await self._runtime.told(), request.path_params["name"]))

    async def filters(self, request: Request) -> Response:
        """A network's first filters side by side, or their numbers."""
        options = options_of(FilterOptions, dict(request.query_params))
        package = self._runtime.repository.get(request.path_params["name"]).package
        try:
            weights = await run_in_threadpool(package.filters)
        except PackageError as error:  # its folder has been replaced on disk
            raise NotReady(str(error)) from error
        if weights is None:
            raise UnknownLayer("filters", model=package.spec.name, layers=())
        return responses.filter_picture(package, await run_in_threadpool(filters, weights, options))

    async def readyz(self, _: Request) -> Response:
        """Whether every wanted model serves."""
        self._runtime.check_ready()
        return json_response(Health(status="ready"))

    async def livez(self, _: Request) -> Response:
        """Whether the process answers at all."""
        return json_response(Health(status="alive"))

    async def metrics(self, _: Request) -> Response:
        """Prometheus metrics."""
        text = await run_in_threadpool(self._runtime.metrics.scrape)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def docs(self, _: Request) -> Response:
        """This service as an OpenAPI 3.1 document."""
        return JSONResponse(document(version=VERSION))

    async def index(self, request: Request) -> Response:
        """The workbench page for a browser, else the routes."""
        if wants_page(request):
            return self._workbench.page(request)
        routes = {route.path: (route.endpoint.__doc__ or "").strip() for route in self.table()}
        return JSONResponse({"service": "striate", "routes": routes}, headers={"Vary": "Accept"})

    async def _answered(
        self,
        request: Request,
        kind: type[Options],
        handler: Callable[[Call[Options]], Awaitable[Response]],
        *,
        task: Task,
        max_images: int = 1,
    ) -> Response:
        """Reads and checks a request, and has `handler` answer it while its caller waits.

        Raises RequestError, NotReady, CallerGone.
        """
        settings = self._runtime.settings
        deadline = Deadline.after(settings.timeout_s)
        with self._pipeline.allowance.share() as share:
            async with DisconnectWatch(request.receive, deadline) as attended:
                sent = await incoming(request, max_bytes=settings.max_upload_bytes, share=share)
                options = options_of(kind, sent.fields)
                # From here to model.request() nothing awaits: a version that was chosen before could be freed by then.
                repository = self._runtime.repository
                name = require(sent.images, sent.fields.get("model") or None, able=repository.able(task))
                exchange: RequestContext = request.scope["exchange"]
                model = repository.choose(name, task=task, caller=exchange.request_id)
                if len(sent.images) > max_images:
                    raise TooManyImages(len(sent.images), limit=max_images)
                exchange.asks(model.package)
                exchange.images = sent.images
                # Of several images each keeps the deadline by itself: those that are done by then are answered.
                attended.read(deadline if len(sent.images) == 1 else None)
                with model.request(exchange.started):
                    return await handler(Call(sent.images, model, options, deadline, exchange))

    async def _classes(self, call: Call[PredictOptions]) -> Response:
        request_id = call.exchange.request_id
        if len(call.images) == 1:
            result = await self._pipeline.predict(*call.one, deadline=call.deadline)
            return json_response(responses.prediction(result, request_id=request_id))
        results = await self._predict_each(call)
        model = responses.reference(call.model.package)
        return json_response(Predictions(model=model, request_id=request_id, results=tuple(results)))

    async def _class_map(self, call: Call[CamOptions]) -> Response:
        return responses.cam_picture(await class_map(self._pipeline, *call.one, deadline=call.deadline))

    async def _layer_maps(self, call: Call[ActivationOptions]) -> Response:
        return responses.layer_picture(await layer_maps(self._pipeline, *call.one, deadline=call.deadline))

    async def _mask(self, call: Call[SegmentOptions]) -> Response:
        if call.options.format != "measurements":
            return responses.mask_picture(await self._pipeline.segment(*call.one, deadline=call.deadline))
        measured = await self._pipeline.measure(*call.one, deadline=call.deadline)
        # Thousands of objects take a while to write down.
        return await run_in_threadpool(responses.measurements, measured, request_id=call.exchange.request_id)

    async def _predict_each(self, call: Call[PredictOptions]) -> list[Prediction | Failure]:
        """Every image by itself, so many at a time that large batches form and one request cannot fill the queue."""
        at_once = asyncio.Semaphore(max(1, self._runtime.settings.queue_length // 2))

        async def one(image: bytes) -> Result[Classified]:
            async with call.deadline.enforced(), at_once:
                return await self._pipeline.predict(
                    image, call.model, call.options, deadline=call.deadline, priority=Priority.BULK
                )

        results = await asyncio.gather(*map(one, call.images), return_exceptions=True)
        return [self._one_of_many(result, call.exchange) for result in results]

    def _one_of_many(
        self, result: Result[Classified] | BaseException, exchange: RequestContext
    ) -> Prediction | Failure:
        if isinstance(result, Result):
            return responses.prediction(result, request_id=exchange.request_id)
        if not isinstance(result, Exception):
            raise result
        error = answerable(result) or Internal()
        if isinstance(error, Internal):
            log_bug(result, exchange)
        count_error(self._runtime.metrics, error.code)
        return responses.failure(error)


def create_app(
    settings: Settings,
    *,
    open_session: Callable[[Package], Session] | None = None,
    on_ready: Callable[[Repository], None] = lambda _: None,
    process: str = ALONE,
) -> Starlette:
    """The whole service as an ASGI application; it loads its models when its lifespan begins.

    open_session: what turns a package's network into a Session, ONNX Runtime on the settings' device by default.
    process: its name in the metrics.
    """
    trail = open_audit_log(settings)
    runtime = Runtime(settings, on_ready=on_ready, trail=trail)
    runtime.metrics.service_info.labels(VERSION, settings.device, settings.gpu_engine).set(1)
    runtime.metrics.queue_limit.set(settings.queue_length)
    together = Path(settings.engine_socket).parent if settings.engine_socket else None
    ends = ExitStack()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(runtime.run(open_session))
        running.add_done_callback(_log_failure)
        try:
            tallies = runtime.tallies
            async with exporting(settings, runtime.metrics, process=process, folder=together, tallies=tallies):
                yield
        finally:
            running.cancel()
            await asyncio.wait([running])
            runtime.close()
            await run_in_threadpool(ends.close)

    routes = Routes(runtime).table()
    paths = [route.path for route in routes]
    counted = observers(settings, runtime.metrics, routes=paths, at_end=ends.callback)
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=around(settings, observers=counted, trail=trail),
        exception_handlers={StriateError: handle, MemoryError: handle, HTTPException: routing_error(paths)},
    )


def _log_failure(running: asyncio.Task[None]) -> None:
    """Nothing fails over a package, so this is a bug; the service stays as it is, at first not ready, which is seen."""
    if not running.cancelled() and isinstance(error := running.exception(), Exception):
        log_bug(error, RequestContext("models"))


def routing_error(paths: list[str]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Starlette's 404 and 405, in our shape."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "").split(", ")
            return response(MethodNotAllowed(request.method, allowed=sorted(allowed)))
        return response(NoSuchRoute(paths))

    return answer
