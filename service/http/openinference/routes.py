"""Routes of the Open Inference Protocol."""

import math
import time
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.image import Array
from service.http.exchange import Exchange
from service.http.openinference.bodies import JSON_LENGTH, plain, plain_if_small
from service.http.openinference.body_threads import BodyThreads
from service.http.openinference.infer_request import ParsedInferRequest, parse_infer_request
from service.http.openinference.infer_response import answer, size_of
from service.http.openinference.model_metadata import model_metadata, model_stats, server_metadata
from service.http.openinference.schemas import AllStats, ModelReady, ServerLive, ServerReady
from service.http.responses import json_response
from service.lifecycle import Runtime
from service.pipeline.pipeline import Result
from service.repository.state import Repository, ServedModel
from service.scheduling.memory_budget import SMALL_BYTES
from service.scheduling.work import Reservation
from service.tasks.task import Outputs

_MODEL, _VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"


class OpenInferenceRoutes:
    """The protocol's handlers."""

    def __init__(self, runtime: Runtime, *, version: str) -> None:
        self._runtime, self._version = runtime, version
        self._threads = BodyThreads(max(1, runtime.settings.worker_threads // 2))

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
        """Returns the server's name, version and supported extensions."""
        return json_response(server_metadata(self._version))

    async def live(self, _: Request) -> Response:
        """Reports that the process is alive."""
        return json_response(ServerLive())

    async def ready(self, _: Request) -> Response:
        """Reports whether every wanted model serves."""
        await self._runtime.check_ready()
        return json_response(ServerReady())

    async def model(self, request: Request) -> Response:
        """Returns a model's input and output tensors."""
        model = self._served(request)
        known = self._runtime.state.current.live_versions(model.spec.name)
        return json_response(model_metadata(model, versions=tuple(each.spec.version for each in known)))

    async def model_ready(self, request: Request) -> Response:
        """Reports whether the model serves."""
        return json_response(ModelReady(name=self._served(request).spec.name))

    async def stats(self, request: Request) -> Response:
        """Returns the statistics of one version, or of each version of a model, since it was loaded."""
        repository = await self._runtime.with_cluster_statistics()
        model = _served(repository, request)
        models = [model] if "version" in request.path_params else repository.live_versions(model.spec.name)
        return json_response(AllStats(model_stats=tuple(map(model_stats, models))))

    async def every_stats(self, _: Request) -> Response:
        """Returns the statistics of every version since it was loaded."""
        repository = await self._runtime.with_cluster_statistics()
        models = [model for name in repository.served for model in repository.live_versions(name)]
        return json_response(AllStats(model_stats=tuple(map(model_stats, models))))

    async def infer(self, request: Request) -> Response:
        """Returns the network's outputs for prepared tensors or image files, as JSON or as binary data."""
        async with Exchange(request, self._runtime) as exchange:
            context = exchange.context
            model = self._served(request, caller=context.request_id)
            exchange.set_model(model.package)
            with model.request(context.started):
                body = await exchange.body()
                started = time.perf_counter()
                asked = await self._parsed(body, request, model, exchange)
                model.statistics.add_overhead("compute_input", time.perf_counter() - started)
                context.images = tuple(
                    each if isinstance(each, bytes) else each.data.cast("B") for each in asked.images
                )
                exchange.has_been_read(timeout_s=asked.timeout_s)
                with exchange.share() as share:
                    results = await self._results(asked, model, exchange, share)
                    started = time.perf_counter()
                    write = partial(answer, asked, results, accept_encoding=request.headers.get("accept-encoding", ""))
                    response = await self._threads.run(write, share, nbytes=size_of(results))
                    model.statistics.add_overhead("compute_output", time.perf_counter() - started)
                    return response

    def _served(self, request: Request, *, caller: str = "") -> ServedModel:
        return _served(self._runtime.state.current, request, caller=caller)

    async def _parsed(
        self, body: bytes | bytearray, request: Request, model: ServedModel, exchange: Exchange
    ) -> ParsedInferRequest:
        settings, headers = self._runtime.settings, request.headers
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding:
            body = await self._inflated(body, encoding, exchange)
        own, length = exchange.reservation, headers.get(JSON_LENGTH)
        parse = partial(parse_infer_request, body, length, model.spec, settings, reserve=own.reserve_more)
        return await self._threads.run(parse, own, nbytes=len(body))

    async def _inflated(self, body: bytes | bytearray, encoding: str, exchange: Exchange) -> bytes | bytearray:
        """Decompresses a body. One that stays small does not wait behind those that do not."""
        own, max_bytes = exchange.reservation, self._runtime.settings.max_upload_bytes
        if len(body) <= SMALL_BYTES:
            inflate = partial(plain_if_small, body, encoding, max_bytes=max_bytes, reserve=own.reserve_more)
            if (small := await self._threads.run(inflate, own, nbytes=SMALL_BYTES)) is not None:
                return small
        inflate_all = partial(plain, body, encoding, max_bytes=max_bytes, reserve=own.reserve_more)
        return await self._threads.run(inflate_all, own, nbytes=math.inf)

    async def _results(
        self, asked: ParsedInferRequest, model: ServedModel, exchange: Exchange, share: Reservation
    ) -> list[Result[Outputs]]:
        """Runs each image as a work item of its own; the first failure ends them all. share: of their outputs."""
        names = tuple(output.name for output in asked.outputs)
        shared_by = len(asked.images) if model.spec.input.size is None else 1
        pipeline = self._runtime.pipeline

        async def one(image: bytes | Array) -> Result[Outputs]:
            work = exchange.work(priority=asked.priority, shared_by=shared_by, kept_by=share)
            result = await pipeline.infer(image, model, names, work)
            await share.reserve_answer(size_of([result]), until=exchange.deadline.at)
            return result

        if len(asked.images) == 1:
            return [await one(asked.images[0])]
        return await pipeline.scheduler.fan_out(one, asked.images, most=len(asked.images))


def _served(repository: Repository, request: Request, *, caller: str = "") -> ServedModel:
    """Returns the path's version, or the one chosen for this caller. Raises UnknownModel, UnknownVersion, NotReady."""
    path = request.path_params
    if "version" in path:
        return repository.version(path["name"], path["version"])
    return repository.get(path["name"], caller=caller)
