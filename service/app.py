"""BentoML service, started with `python -m service`. No other file imports BentoML."""

import asyncio
import gc
import logging
import sys

import bentoml
import click
from bentoml._internal.configuration import get_quiet_mode
from bentoml._internal.configuration.containers import BentoMLContainer
from prometheus_client import values
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from models.errors import StriateError
from service.engine.supervisor import supervise_engine
from service.http import connection
from service.http.application import create_app
from service.inference import check_device
from service.process import memory_allocator, signals
from service.repository.loader import gpu_options
from service.repository.startup_message import startup_lines
from service.repository.state import Repository
from service.sandbox.decoders import DecodeProcesses
from service.scheduling.memory_plan import MemoryPlan
from service.security.key_memory import check_key_memory
from service.settings import Settings, check_host, check_models_folder, hand_down, load_settings
from service.telemetry.background_tasks import SERVICE_PROCESS
from service.telemetry.log import log


def _application() -> tuple[Settings, Starlette]:
    try:
        settings = load_settings()
        # A front end that replaces another takes over its name and its counts.
        process = f"front_end_{bentoml.server_context.worker_index}" if settings.front_ends > 1 else SERVICE_PROCESS
        return settings, create_app(settings, on_ready=_ready, decoders=DECODERS, process=process)
    except StriateError as error:
        sys.exit(f"striate: {error}")


def _ready(repository: Repository) -> None:
    """Runs once, in the event loop, when the models are loaded."""
    loop, parser = type(asyncio.get_running_loop()).__module__, HttpToolsProtocol.__module__
    log.write("info", "ready", event_loop=loop, http_parser=parser)
    asyncio.get_running_loop().run_in_executor(None, DECODERS.start)
    one_of_several = SETTINGS.front_ends > 1 and bentoml.server_context.worker_index != 1
    if not one_of_several and not get_quiet_mode():  # --quiet, as in the image: a log of JSON only
        _print_startup_message(repository)
    # These objects live as long as the process: a full collection would traverse them, tens of ms within a request.
    gc.collect()
    gc.freeze()


def _print_startup_message(repository: Repository) -> None:
    """Prints the served models, and a command to try, on standard output."""
    url = BentoMLContainer.remote_runner_mapping.get().get("striate", "http://127.0.0.1:3000")
    sys.stdout.write("".join(f"{line}\n" for line in startup_lines(repository, url=url)))
    sys.stdout.flush()


logging.getLogger("uvicorn.access").propagate = False  # uvicorn would format a line for each request
values.ValueClass = values.MutexValue  # BentoML would keep values in files: see service.telemetry.multiprocess
signals.install()
memory_allocator.install()
DECODERS = DecodeProcesses()
SETTINGS, APP = _application()
connection.install(timeout_s=SETTINGS.timeout_s)


class HttpDispatcher:
    """An ASGI application that sends HTTP requests to Striate, and the lifespan to BentoML's application."""

    def __init__(self, bentoml_app: ASGIApp, *, http_app: ASGIApp) -> None:
        self._bentoml_app, self._http_app = bentoml_app, http_app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._http_app if scope["type"] == "http" else self._bentoml_app)(scope, receive, send)


class DirectService(bentoml.Service):  # type: ignore[misc]
    """A BentoML service whose requests bypass BentoML's application.

    That application would answer /readyz, /livez and 404 in formats of its own. It starts a task and a timer per
    request and never cancels them, so that every request's objects live for `traffic.timeout` (TimeoutMiddleware,
    1.4.39). It also traces each request even if nothing receives the traces; service.http.middleware.tracing does that
    only when configured.
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return HttpDispatcher(super().to_asgi(is_main), http_app=APP)


def _host() -> str:
    """Returns the address that BentoML listens on, which it does not pass to the deployment hook."""
    command = click.get_current_context(silent=True)
    option: str | None = command.params.get("host") if command else None
    return option or str(BentoMLContainer.http.host.get())


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
        """Runs once, before any worker, to abort with a reason instead of failing in every worker."""
        try:
            check_key_memory(SETTINGS)
            MemoryPlan.of(SETTINGS)
            check_host(SETTINGS, _host())
            check_models_folder(SETTINGS)
            check_device(SETTINGS.device, gpu_options(SETTINGS))
        except StriateError as error:
            sys.exit(f"striate: {error}")
        if SETTINGS.front_ends > 1:
            hand_down(engine_socket=supervise_engine(log_level=SETTINGS.log_level))
