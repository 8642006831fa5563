"""Application: every route behind the middleware, with models that are loaded while it runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models.errors import StriateError
from models.package import Package
from service import __version__
from service.http.errors import MethodNotAllowed, NoSuchRoute, handle, response
from service.http.middleware import middleware_stack, observers, open_audit_log
from service.http.routes import Routes
from service.inference import Session
from service.lifecycle import Runtime
from service.repository.state import Repository
from service.sandbox.decoders import DecodeProcesses
from service.settings import Settings
from service.telemetry.background_tasks import SERVICE_PROCESS, background_telemetry
from service.telemetry.log import log


def create_app(
    settings: Settings,
    *,
    open_session: Callable[[Package], Session] | None = None,
    on_ready: Callable[[Repository], None] = lambda _: None,
    decoders: DecodeProcesses | None = None,
    process: str = SERVICE_PROCESS,
) -> Starlette:
    """Returns the whole service as an ASGI application; it loads its models when its lifespan begins.

    open_session: what turns a package's network into a Session, ONNX Runtime on the settings' device by default.
    decoders: closed with the application. process: its name in the metrics.
    """
    audit_log = open_audit_log(settings)
    runtime = Runtime(settings, on_ready=on_ready, decoders=decoders or DecodeProcesses(), audit_log=audit_log)
    runtime.metrics.service_info.labels(__version__, settings.device, settings.gpu_engine).set(1)
    runtime.metrics.queue_limit.set(settings.queue_length)
    together = Path(settings.engine_socket).parent if settings.engine_socket else None
    ends = ExitStack()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(runtime.run(open_session))
        running.add_done_callback(_log_failure)
        try:
            statistics = runtime.cluster_statistics
            async with background_telemetry(
                settings, runtime.metrics, process=process, folder=together, cluster_statistics=statistics
            ):
                yield
        finally:
            running.cancel()
            await asyncio.wait([running])
            runtime.close()
            await run_in_threadpool(ends.close)

    routes = Routes(runtime).table()
    paths = [route.path for route in routes]
    counted = observers(settings, runtime.metrics, routes=paths, on_shutdown=ends.callback)
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=middleware_stack(settings, observers=counted, audit_log=audit_log, memory=runtime.memory),
        exception_handlers={StriateError: handle, MemoryError: handle, HTTPException: routing_error(paths)},
    )
    app.router.redirect_slashes = False  # it would send callers to whatever host their request named
    return app


def _log_failure(running: asyncio.Task[None]) -> None:
    """Logs a failure of the reconciler. It is a bug, since no package can cause it; the service goes on as it is."""
    if not running.cancelled() and isinstance(error := running.exception(), Exception):
        log.exception(error, request_id="models")


def routing_error(paths: list[str]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Returns the handler of Starlette's 404 and 405, in the one error shape."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "").split(", ")
            return response(MethodNotAllowed(request.method, allowed=sorted(allowed)))
        return response(NoSuchRoute(paths))

    return answer
