"""The BentoML service: `bentoml serve service.app:Striate`. The only file that knows BentoML."""

import asyncio
import gc
import logging
import sys

import bentoml
import click
from bentoml._internal.configuration.containers import BentoMLContainer
from prometheus_client import values
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import StriateError
from service import signals
from service.engine.supervisor import keep_engine
from service.http import connection
from service.http.routes import create_app
from service.inference import check_device
from service.repository.loader import gpu
from service.repository.startup_message import lines
from service.repository.state import Repository
from service.settings import Settings, check_host, check_models_folder, hand_down, load_settings
from service.telemetry.export import ALONE
from service.telemetry.log import log


def _application() -> tuple[Settings, Starlette]:
    try:
        settings = load_settings()
        # A front end that takes another's place takes its name, and goes on with its counts.
        process = f"front_end_{bentoml.server_context.worker_index}" if settings.front_ends > 1 else ALONE
        return settings, create_app(settings, on_ready=_ready, process=process)
    except StriateError as error:
        sys.exit(f"striate: {error}")


def _ready(repository: Repository) -> None:
    """Called once, in the event loop, when the models are loaded."""
    loop, parser = type(asyncio.get_running_loop()).__module__, connection.BoundedProtocol.__base__.__module__
    log.write("info", "ready", event_loop=loop, http_parser=parser)
    if SETTINGS.front_ends == 1 or bentoml.server_context.worker_index == 1:  # one of several is enough
        _announce(repository)
    # What lives now lives as long as the process: a full collection would walk through it, tens of ms, in a request.
    gc.collect()
    gc.freeze()


def _announce(repository: Repository) -> None:
    """Says on standard output what serves where, and how to ask it."""
    url = BentoMLContainer.remote_runner_mapping.get().get("striate", "http://127.0.0.1:3000")
    sys.stdout.write("".join(f"{line}\n" for line in lines(repository, url=url)))
    sys.stdout.flush()


logging.getLogger("uvicorn.access").propagate = False  # uvicorn would put a line together for each request
values.ValueClass = values.MutexValue  # BentoML would have values kept in files: see service.telemetry.multiprocess
connection.install()
signals.install()
SETTINGS, APP = _application()


class Ours:
    """Gives every HTTP request to our application, and the rest, which is the lifespan, to BentoML's."""

    def __init__(self, theirs: ASGIApp, *, ours: ASGIApp) -> None:
        self._theirs, self._ours = theirs, ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._ours if scope["type"] == "http" else self._theirs)(scope, receive, send)


class DirectService(bentoml.Service):  # type: ignore[misc]
    """A BentoML service whose requests reach our application without passing through BentoML's.

    BentoML's would answer /readyz, /livez and 404 in other shapes than ours; starts a task and a timer a request, which
    it never cancels, so that every request's objects live for `traffic.timeout` (TimeoutMiddleware, 1.4.39); and traces
    each request even where nothing is configured to receive the traces, which
    service.http.middleware.tracing does in its place.
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return Ours(super().to_asgi(is_main), ours=APP)


def _host() -> str:
    """Where BentoML was told to listen; what it passes to our hook does not say it."""
    command = click.get_current_context(silent=True)
    told: str | None = command.params.get("host") if command else None
    return told or str(BentoMLContainer.http.host.get())


@bentoml.asgi_app(APP, path="/")  # BentoML runs its lifespan
@bentoml.service(
    name="striate",
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    service_class=DirectService,
    workers=SETTINGS.front_ends,
)
class Striate:
    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def prepare() -> None:
        """Runs once, before any worker: what would fail in every worker ends the process here, with its reason."""
        try:
            check_host(SETTINGS, _host())
            check_models_folder(SETTINGS)
            check_device(SETTINGS.device, gpu(SETTINGS))
        except StriateError as error:
            sys.exit(f"striate: {error}")
        if SETTINGS.front_ends > 1:
            hand_down(engine_socket=keep_engine(log_level=SETTINGS.log_level))
