"""Routes: the table of paths and their handlers."""

from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.errors import PackageError
from service import __version__
from service.api.answers import Health
from service.api.options import FilterOptions
from service.errors import NotReady, UnknownLayer
from service.http.admin import AdminRoutes
from service.http.exchange import answer
from service.http.model_listing import list_models, model_entry
from service.http.openapi import document
from service.http.openinference.routes import OpenInferenceRoutes
from service.http.request import parse_options
from service.http.responses import filter_picture, json_response
from service.http.workbench import Workbench, wants_page
from service.lifecycle import Runtime
from service.tasks import TASKS
from service.tasks.activations import filters
from service.telemetry.metrics import CONTENT_TYPE


class Routes:
    """The table of every path, and the handlers that have no file of their own."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._workbench = Workbench(runtime)

    def table(self) -> list[Route]:
        tasks = [
            Route(f"/{name}", partial(answer, task, self._runtime), methods=["POST"], name=name)
            for name, task in TASKS.items()
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

    async def models(self, _: Request) -> Response:
        """Lists every model: those that serve, and those that are invalid, with the reason."""
        return json_response(list_models(await self._runtime.with_cluster_statistics()))

    async def model(self, request: Request) -> Response:
        """Describes one model with all its versions."""
        return json_response(model_entry(await self._runtime.with_cluster_statistics(), request.path_params["name"]))

    async def filters(self, request: Request) -> Response:
        """Returns the filters of a network's first layer, as a picture or as numbers."""
        options = parse_options(FilterOptions, dict(request.query_params))
        package = self._runtime.state.current.get(request.path_params["name"]).package
        try:
            weights = await run_in_threadpool(package.filters)
        except PackageError as error:  # its folder has been replaced on disk
            raise NotReady(str(error)) from error
        if weights is None:
            raise UnknownLayer("filters", model=package.spec.name, layers=())
        return filter_picture(package, await run_in_threadpool(filters, weights, options))

    async def readyz(self, _: Request) -> Response:
        """Reports whether every wanted model serves."""
        await self._runtime.check_ready()
        return json_response(Health(status="ready", warning=self._runtime.absence))

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


def _summary(route: Route) -> str:
    task = TASKS.get(route.name)
    return task.summary if task else (route.endpoint.__doc__ or "").strip()
