"""The protocol's routes, beside those of service.http.routes."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.image import Array
from service.http.disconnect import DisconnectWatch
from service.http.middleware.access_log import RequestContext
from service.http.openinference.bodies import JSON_LENGTH, plain
from service.http.openinference.infer_request import ParsedInferRequest, understood
from service.http.openinference.infer_response import answer, size_of
from service.http.openinference.model_metadata import model_metadata, model_stats, server_metadata
from service.http.openinference.schemas import AllStats, ModelReady, ServerLive, ServerReady
from service.http.request import bounded
from service.http.responses import json_response
from service.lifecycle import Runtime
from service.pipeline.memory_budget import Reservation
from service.pipeline.prepare import Result
from service.repository.state import Repository, ServedModel
from service.scheduling.deadline import Deadline

P = ParamSpec("P")
T = TypeVar("T")
_MODEL, _VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
_AT_ONCE_BYTES = 2**18  # what is larger would hold up the event loop for a millisecond


class OpenInferenceRoutes:
    """The handlers: each says what it answers and hands on."""

    def __init__(self, runtime: Runtime, *, version: str) -> None:
        self._runtime, self._version = runtime, version

    def table(self) -> list[Route]:
        return [  # searched in this order
            *(Route(f"{model}/infer", self.infer, methods=["POST"]) for model in (_MODEL, _VERSION)),
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route("/v2/models/stats", self.every_stats),
            *(Route(f"{model}/ready", self.model_ready) for model in (_MODEL, _VERSION)),
            *(Route(f"{model}/stats", self.stats) for model in (_MODEL, _VERSION)),
            *(Route(model, self.model) for model in (_MODEL, _VERSION)),
        ]

    async def server(self, _: Request) -> Response:
        """The server's name and version, and which extensions of the protocol it knows."""
        return json_response(server_metadata(self._version))

    async def live(self, _: Request) -> Response:
        """Whether the process answers, as the protocol says it."""
        return json_response(ServerLive())

    async def ready(self, _: Request) -> Response:
        """Whether every wanted model serves, as the protocol says it."""
        self._runtime.check_ready()
        return json_response(ServerReady())

    async def model(self, request: Request) -> Response:
        """A model's tensors, as the protocol says it."""
        model = self._served(request)
        known = self._runtime.repository.answering(model.spec.name)
        return json_response(model_metadata(model, versions=tuple(each.spec.version for each in known)))

    async def model_ready(self, request: Request) -> Response:
        """Whether the model serves."""
        return json_response(ModelReady(name=self._served(request).spec.name))

    async def stats(self, request: Request) -> Response:
        """What a version has answered since it was loaded, or each version of a model."""
        repository = await self._runtime.told()
        model = _served(repository, request)
        models = [model] if "version" in request.path_params else repository.answering(model.spec.name)
        return json_response(AllStats(model_stats=tuple(map(model_stats, models))))

    async def every_stats(self, _: Request) -> Response:
        """What each version of each model has answered since it was loaded."""
        repository = await self._runtime.told()
        models = [model for name in repository.served for model in repository.answering(name)]
        return json_response(AllStats(model_stats=tuple(map(model_stats, models))))

    async def infer(self, request: Request) -> Response:
        """The network's outputs for prepared tensors or image files, as JSON or as binary data."""
        deadline = Deadline.after(self._runtime.settings.timeout_s)
        exchange = _exchange(request)
        model = self._served(request, caller=exchange.request_id)
        exchange.asks(model.package)
        with model.request(exchange.started), self._runtime.pipeline.allowance.share() as share:
            async with DisconnectWatch(request.receive, deadline) as attended:
                body = await bounded(request, self._runtime.settings.max_upload_bytes, share)
                read = time.perf_counter()
                asked = await self._asked(body, request, model, share)
                model.statistics.handled("compute_input", time.perf_counter() - read)
                exchange.images = tuple(
                    each if isinstance(each, bytes) else each.data.cast("B") for each in asked.images
                )
                deadline = deadline.sooner(asked.timeout_s)
                attended.read(deadline)
                results = await self._run(asked, model, deadline)
                ran = time.perf_counter()
                write = partial(answer, asked, results, accept_encoding=request.headers.get("accept-encoding", ""))
                response = await _done(size_of(results), write)
                model.statistics.handled("compute_output", time.perf_counter() - ran)
                return response

    def _served(self, request: Request, *, caller: str = "") -> ServedModel:
        return _served(self._runtime.repository, request, caller=caller)

    async def _asked(self, body: bytes, request: Request, model: ServedModel, share: Reservation) -> ParsedInferRequest:
        settings, headers = self._runtime.settings, request.headers
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding:  # a small body may become a large one
            body = await run_in_threadpool(plain, body, encoding, max_bytes=settings.max_upload_bytes)
            share.hold(len(body))
        return await _done(len(body), understood, body, headers.get(JSON_LENGTH), model.spec, settings)

    async def _run(
        self, asked: ParsedInferRequest, model: ServedModel, deadline: Deadline
    ) -> list[Result[dict[str, Array]]]:
        """Each image is an item of the batcher; of many so many at a time that one request cannot fill the queue.

        The first that fails ends them all.
        """
        infer = partial(
            self._runtime.pipeline.infer,
            model=model,
            outputs=tuple(output.name for output in asked.outputs),
            deadline=deadline,
            priority=asked.priority,
            together=len(asked.images),
        )
        if len(asked.images) == 1:
            return [await infer(asked.images[0])]
        at_once = asyncio.Semaphore(max(1, self._runtime.settings.queue_length // 2))

        async def one(image: bytes | Array) -> Result[dict[str, Array]]:
            async with at_once:
                return await infer(image)

        try:
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(one(image)) for image in asked.images]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [done.result() for done in running]


def _served(repository: Repository, request: Request, *, caller: str = "") -> ServedModel:
    """The path's version, or the one that answers this caller. Raises UnknownModel, UnknownVersion, NotReady."""
    path = request.path_params
    if "version" in path:
        return repository.version(path["name"], path["version"])
    return repository.get(path["name"], caller=caller)


def _exchange(request: Request) -> RequestContext:
    found: RequestContext = request.scope["exchange"]
    return found


async def _done(size: int, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """function(...), in a thread where it has so many bytes to go through."""
    if size <= _AT_ONCE_BYTES:
        return function(*args, **options)
    return await run_in_threadpool(function, *args, **options)
