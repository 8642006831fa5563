"""Audit middleware: writes a line to the audit log before each response is sent, and sends none without it."""

import asyncio
from concurrent.futures import Executor, ThreadPoolExecutor
from hashlib import sha256

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.errors import response as error_response
from service.http.middleware.access_log import OTHER
from service.security.audit_chain import BrokenChain
from service.security.audit_log import AuditLog
from service.security.errors import AuditUnavailable
from service.telemetry.log import log
from service.telemetry.request_context import RequestContext

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class AuditMiddleware:
    """ASGI middleware inside AuthenticationMiddleware: an unauthenticated caller must not be able to fill the disk.

    It fails closed. If a line cannot be written, the caller gets 503 in place of the response, and a streamed response,
    of which a part was sent already, is aborted.
    """

    def __init__(self, app: ASGIApp, *, audit_log: AuditLog) -> None:
        self._app, self._audit_log = app, audit_log
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="audit")  # digests and the disk, off the event loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READS:
            await self._app(scope, receive, send)
            return
        line = _AuditLine(scope, self._audit_log)
        response = _AuditedResponse(scope, receive, send, line=line, writer=self._writer)
        try:
            await self._app(scope, receive, response.send)
        except Exception:
            await response.fail()
            raise


class _AuditLine:
    """The audit line of one response, under construction; its methods run in the writer's thread."""

    def __init__(self, scope: Scope, audit_log: AuditLog) -> None:
        self._scope, self._audit_log = scope, audit_log
        self._output = sha256()

    def add(self, body: bytes) -> None:
        self._output.update(body)

    def write(self, body: bytes, status: int) -> bool:
        """Adds the response's last bytes and writes the line; returns whether that succeeded."""
        self.add(body)
        context: RequestContext = self._scope["context"]
        facts: dict[str, object] = {
            "key": context.key,
            "route": getattr(self._scope.get("route"), "path", OTHER),
            "model": context.model_sha256,
            "inputs": [sha256(image).hexdigest() for image in context.images],
            "output": self._output.hexdigest(),
            "status": status,
        }
        try:
            self._audit_log.append(facts)
        except (OSError, BrokenChain) as error:
            log.write("error", "audit log not written", request_id=context.request_id, reason=str(error))
            return False
        return True


class _AuditedResponse:
    """A response whose start is held back until its line is written; of a streamed one, only the last chunk."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, line: _AuditLine, writer: Executor) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._line, self._writer = line, writer
        self._start: Message | None = None
        self._status = 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start, self._status = message, message["status"]
            return
        body, loop = message.get("body", b""), asyncio.get_running_loop()
        if message.get("more_body", False):
            await loop.run_in_executor(self._writer, self._line.add, body)
        elif not await loop.run_in_executor(self._writer, self._line.write, body, self._status):
            await self._withhold()
            return
        if self._start is not None:
            await self._send(self._start)
            self._start = None
        await self._send(message)

    async def fail(self) -> None:
        """Writes the line of a request whose handler raised; an outer middleware answers it."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._line.write, b"", 500)

    async def _withhold(self) -> None:
        """Sends an error in place of the response; if a part was sent already, the server closes the connection."""
        if self._start is not None:
            await error_response(AuditUnavailable())(self._scope, self._receive, self._send)
