"""Exchange: one request for a model, from its arrival to its answer."""

import asyncio
from types import TracebackType
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from models.package import Package
from service.api.answers import Failure, Prediction, Predictions, WireModel
from service.errors import DeadlinePassed
from service.http.errors import CallerGone, Internal, TooManyImages, answerable, forget_frames
from service.http.middleware.access_log import count_error
from service.http.request import check_media_type, parse_body, parse_options, read_body, require
from service.http.responses import complete, failure, json_response, reference, respond
from service.lifecycle import Runtime
from service.repository.state import ServedModel
from service.scheduling.work import Deadline, Priority, Reservation, Work
from service.tasks.task import Document, Task
from service.telemetry.log import log
from service.telemetry.request_context import RequestContext

_WATCH_AFTER_S = 0.02  # most answers are sooner than a deadline, and a task that watches for the caller, would pay


async def answer(task: Task[Any, Any], runtime: Runtime, request: Request) -> Response:
    """Answers a task's question about the images of a request.

    Raises RequestError, NotReady, DeadlinePassed, CallerGone.
    """
    async with Exchange(request, runtime) as exchange:
        is_form = check_media_type(request)
        sent = parse_body(request, await exchange.body(), is_form=is_form)
        options = parse_options(task.options, sent.fields)
        # Nothing awaits from here to model.request(), so that the chosen version cannot be freed in between.
        repository, context = runtime.state.current, exchange.context
        name = require(sent.images, sent.fields.get("model") or None, able=repository.able(task.kind))
        model = repository.choose(name, task=task.kind, caller=context.request_id)
        limit = task.most_images or runtime.settings.max_images
        if len(sent.images) > limit:
            raise TooManyImages(len(sent.images), limit=limit)
        exchange.set_model(model.package)
        context.images = sent.images
        exchange.has_been_read(images=len(sent.images))
        with model.request(context.started):
            if len(sent.images) > 1:
                return await _answer_each(task, sent.images, model, options, exchange)
            work = exchange.work(kept_by=exchange.reservation)
            result = await runtime.pipeline.answer(task, sent.images[0], model, options, work)
            return respond(result, request_id=context.request_id)


async def _answer_each(
    task: Task[Any, Any], images: tuple[bytes, ...], model: ServedModel, options: WireModel, exchange: "Exchange"
) -> Response:
    """Answers each image separately; a failure affects no other."""
    pipeline, request_id = exchange.runtime.pipeline, exchange.context.request_id

    async def one(image: bytes) -> Prediction | Failure:
        try:
            async with exchange.deadline.enforced():
                work = exchange.work(priority=Priority.BULK)
                result = await pipeline.answer(task, image, model, options, work)
        except Exception as error:  # noqa: BLE001  a bug in one image's answer must not take the others'
            return _failure_entry(error, exchange)
        return cast(Prediction, complete(cast(Document, result.value), result, request_id=request_id))

    results = await pipeline.scheduler.fan_out(one, images, most=len(images))
    about = reference(model.package)
    return json_response(Predictions(model=about, request_id=request_id, results=tuple(results)))


def _failure_entry(error: Exception, exchange: "Exchange") -> Failure:
    """Logs and counts the error of one image of several; returns its entry."""
    known = answerable(error) or Internal()
    if isinstance(known, Internal):
        log.exception(error, request_id=exchange.context.request_id)
    forget_frames(error)
    count_error(exchange.runtime.metrics, known.code)
    return failure(known)


class Exchange:
    """async with Exchange(request, runtime) as exchange: ends the block when the deadline passes.

    Once the request has been read, the block ends too when the caller closes the connection. Raises DeadlinePassed,
    CallerGone.
    """

    def __init__(self, request: Request, runtime: Runtime) -> None:
        self.runtime = runtime
        self._settings = runtime.settings
        self._request = request
        self.context: RequestContext = request.scope["context"]
        self.deadline = Deadline.after(self._settings.timeout_s)
        self.reservation: Reservation = request.scope["reservation"]  # of the body and the answer
        self._watch = DisconnectWatch(request.receive, self.deadline)

    async def __aenter__(self) -> "Exchange":
        await self._watch.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._watch.__aexit__(kind, error, trace)

    def set_model(self, package: Package) -> None:
        """Notes the model for the log, the metrics and the audit log."""
        context, spec = self.context, package.spec
        context.model, context.model_version, context.model_sha256 = spec.name, spec.version, package.sha256

    async def body(self) -> bytes:
        """Reads the body. Raises TooManyBytes, MemoryFull, CallerGone."""
        return await read_body(self._request, self._settings.max_upload_bytes)

    def has_been_read(self, *, timeout_s: float | None = None, images: int = 1) -> None:
        """Begins to watch for the caller's leaving. timeout_s: a sooner deadline, if the request sets one.

        Of several images each keeps the deadline by itself, so that those which are done by then are answered.
        """
        self.deadline = self.deadline.sooner(timeout_s)
        self._watch.begin(self.deadline if images == 1 else None)

    def share(self) -> Reservation:
        """Returns a further part of the request's memory, to be released by itself."""
        return Reservation(self.runtime.memory, outer=self.reservation)

    def work(
        self, *, priority: Priority = Priority.INTERACTIVE, shared_by: int = 1, kept_by: Reservation | None = None
    ) -> Work:
        """Returns the work of one of its images. shared_by: how many share the pixels of one. kept_by: see Work."""
        return Work(
            self.deadline,
            priority,
            self.share(),
            kept_by,
            max_pixels=self._settings.max_pixels // shared_by,
            tolerates_damage=self._settings.tolerate_damage == "warn",
            request_id=self.context.request_id,
            on_stage=self.context.on_stage,
        )


class DisconnectWatch:
    """async with DisconnectWatch(receive, deadline) as watch: ends the block when the deadline passes.

    receive: ASGI's. After begin() the block ends too when the caller closes the connection. Raises DeadlinePassed,
    CallerGone.
    """

    def __init__(self, receive: Receive, deadline: Deadline) -> None:
        self._receive = receive
        self._deadline: Deadline | None = deadline
        self._is_late = deadline.timeout_s <= _WATCH_AFTER_S
        self._has_begun = self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "DisconnectWatch":
        self._scope = asyncio.timeout_at(self._deadline.at if self._deadline and self._is_late else None)
        await self._scope.__aenter__()
        self._later = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._watch)
        return self

    def begin(self, deadline: Deadline | None) -> None:
        """Starts watching. deadline: None if each part of the work has its own."""
        self._deadline, self._has_begun = deadline, True
        if self._is_late or (deadline and deadline.timeout_s <= _WATCH_AFTER_S):
            self._watch()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._later.cancel()
        if self._watcher:
            self._watcher.cancel()
            self._watcher = None  # its frame refers to this
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            if self._deadline is None or self._gone:
                raise CallerGone from None
            raise DeadlinePassed(self._deadline.timeout_s) from None

    def _watch(self) -> None:
        """Sees to the deadline and, once the request has been read, to the caller."""
        self._is_late = True
        if not self._scope.expired():
            self._scope.reschedule(self._deadline.at if self._deadline else None)
        if self._has_begun and self._watcher is None:
            self._watcher = asyncio.create_task(self._end_when_gone())

    async def _end_when_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._scope.reschedule(asyncio.get_running_loop().time())
