"""Routes: the table of paths and their handlers."""

from functools import partial
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.errors import PackageError
from service import __version__
from service.api.answers import Failure, Health, Prediction, Predictions, WireModel
from service.api.options import FilterOptions
from service.errors import NotReady, UnknownLayer
from service.http import responses
from service.http.admin import AdminRoutes
from service.http.errors import Internal, TooManyImages, answerable
from service.http.exchange import Exchange
from service.http.middleware.access_log import count_error
from service.http.model_listing import list_models, model_entry
from service.http.openapi import document
from service.http.openinference.routes import OpenInferenceRoutes
from service.http.request import check_media_type, parse_body, parse_options, require
from service.http.responses import json_response, respond
from service.http.workbench import Workbench, wants_page
from service.lifecycle import Runtime
from service.repository.state import ServedModel
from service.scheduling.work import Priority
from service.tasks import TASKS
from service.tasks.activations import filters
from service.tasks.task import Document, Task
from service.telemetry.log import log
from service.telemetry.metrics import CONTENT_TYPE


class Routes:
    """The handlers of every path but the protocol's, the operator's and the page's."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pipeline = runtime.pipeline
        self._workbench = Workbench(runtime)

    def table(self) -> list[Route]:
        tasks = [
            Route(f"/{name}", partial(self.answer, task), methods=["POST"], name=name) for name, task in TASKS.items()
        ]
        return [
            *tasks,
            Route("/models", self.models),
            Route("/models/{name}", self.model),
            Route("/models/{name}/filters", self.filters),
            *OpenInferenceRoutes(self._runtime, version=__version__).table(),
            *AdminRoutes(self._runtime).table(),
            Route("/readyz", self.readyz),
            Route("/livez", self.livez),
            Route("/healthz", self.livez),
            Route("/metrics", self.metrics),
            Route("/docs.json", self.docs),
            Route("/", self.index),
            *self._workbench.table(),
        ]

    async def answer(self, task: Task[Any, Any], request: Request) -> Response:
        """Answers a task's question about the images of a request.

        Raises RequestError, NotReady, DeadlinePassed, CallerGone.
        """
        async with Exchange(request, self._runtime) as exchange:
            is_form = check_media_type(request)
            sent = parse_body(request, await exchange.body(), is_form=is_form)
            options = parse_options(task.options, sent.fields)
            # Nothing awaits from here to model.request(), so that the chosen version cannot be freed in between.
            repository, context = self._runtime.repository, exchange.context
            name = require(sent.images, sent.fields.get("model") or None, able=repository.able(task.kind))
            model = repository.choose(name, task=task.kind, caller=context.request_id)
            limit = task.most_images or self._runtime.settings.max_images
            if len(sent.images) > limit:
                raise TooManyImages(len(sent.images), limit=limit)
            exchange.set_model(model.package)
            context.images = sent.images
            exchange.has_been_read(images=len(sent.images))
            with model.request(context.started):
                if len(sent.images) == 1:
                    result = await self._pipeline.answer(task, sent.images[0], model, options, exchange.work())
                    return respond(result, request_id=context.request_id)
                return await self._answer_each(task, sent.images, model, options, exchange)

    async def models(self, _: Request) -> Response:
        """Lists every model: those that serve, and those that are invalid, with the reason."""
        return json_response(list_models(await self._runtime.with_cluster_statistics()))

    async def model(self, request: Request) -> Response:
        """Describes one model with all its versions."""
        return json_response(model_entry(await self._runtime.with_cluster_statistics(), request.path_params["name"]))

    async def filters(self, request: Request) -> Response:
        """Returns the filters of a network's first layer, as a picture or as numbers."""
        options = parse_options(FilterOptions, dict(request.query_params))
        package = self._runtime.repository.get(request.path_params["name"]).package
        try:
            weights = await run_in_threadpool(package.filters)
        except PackageError as error:  # its folder has been replaced on disk
            raise NotReady(str(error)) from error
        if weights is None:
            raise UnknownLayer("filters", model=package.spec.name, layers=())
        return responses.filter_picture(package, await run_in_threadpool(filters, weights, options))

    async def readyz(self, _: Request) -> Response:
        """Reports whether every wanted model serves."""
        self._runtime.check_ready()
        return json_response(Health(status="ready"))

    async def livez(self, _: Request) -> Response:
        """Reports that the process is alive."""
        return json_response(Health(status="alive"))

    async def metrics(self, _: Request) -> Response:
        """Returns the Prometheus metrics."""
        text = await run_in_threadpool(self._runtime.metrics.scrape)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def docs(self, _: Request) -> Response:
        """Describes this service as an OpenAPI 3.1 document."""
        return JSONResponse(document(version=__version__))

    async def index(self, request: Request) -> Response:
        """Returns the workbench page to a browser, and the list of routes to other clients."""
        if wants_page(request):
            return self._workbench.page(request)
        routes = {route.path: _summary(route) for route in self.table()}
        return JSONResponse({"service": "striate", "routes": routes}, headers={"Vary": "Accept"})

    async def _answer_each(
        self,
        task: Task[Any, Any],
        images: tuple[bytes, ...],
        model: ServedModel,
        options: WireModel,
        exchange: Exchange,
    ) -> Response:
        """Answers each image separately; a failure affects no other."""
        request_id = exchange.context.request_id

        async def one(image: bytes) -> Prediction | Failure:
            try:
                async with exchange.deadline.enforced():
                    work = exchange.work(priority=Priority.BULK)
                    result = await self._pipeline.answer(task, image, model, options, work)
            except Exception as error:  # noqa: BLE001  a bug in one image's answer must not take the others'
                return self._failure(error, exchange)
            return cast(Prediction, responses.complete(cast(Document, result.value), result, request_id=request_id))

        results = await self._pipeline.scheduler.fan_out(one, images, most=len(images))
        reference = responses.reference(model.package)
        return json_response(Predictions(model=reference, request_id=request_id, results=tuple(results)))

    def _failure(self, error: Exception, exchange: Exchange) -> Failure:
        known = answerable(error) or Internal()
        if isinstance(known, Internal):
            log.exception(error, request_id=exchange.context.request_id)
        count_error(self._runtime.metrics, known.code)
        return responses.failure(known)


def _summary(route: Route) -> str:
    task = TASKS.get(route.name)
    return task.summary if task else (route.endpoint.__doc__ or "").strip()
