"""Writes each answer's line in the audit log before the answer goes out; without the line there is no answer."""

import asyncio
from concurrent.futures import Executor, ThreadPoolExecutor
from hashlib import sha256

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import AuditUnavailable
from service.http.errors import response
from service.http.middleware.access_log import OTHER, RequestContext
from service.security.audit_log import AuditLog
from service.telemetry.log import log

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class AuditMiddleware:
    """ASGI middleware, within the gate, so that a stranger cannot fill the disk: what the gate refuses has no line.

    Fail closed: whoever switches the log on wants no answer that it does not have. Where a line cannot be written the
    caller gets 503 in place of the answer, and a streamed answer, of which a part is out, stays without its end.
    """

    def __init__(self, app: ASGIApp, *, trail: AuditLog) -> None:
        self._app, self._trail = app, trail
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="audit")  # digests and the disk, off the event loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READS:
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send, line=_Line(scope, self._trail), writer=self._writer)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            await answer.fail()
            raise


class _Line:
    """One answer's line in the making; its methods run in the writer's thread."""

    def __init__(self, scope: Scope, trail: AuditLog) -> None:
        self._scope, self._trail = scope, trail
        self._output = sha256()

    def add(self, body: bytes) -> None:
        self._output.update(body)

    def write(self, body: bytes, status: int) -> bool:
        """Adds the answer's last bytes and writes the line; says whether it is written."""
        self.add(body)
        exchange: RequestContext = self._scope["exchange"]
        facts: dict[str, object] = {
            "key": exchange.key,
            "route": getattr(self._scope.get("route"), "path", OTHER),
            "model": exchange.model_sha256,
            "inputs": [sha256(image).hexdigest() for image in exchange.images],
            "output": self._output.hexdigest(),
            "status": status,
        }
        try:
            self._trail.append(facts)
        except OSError as error:
            log.write("error", "audit", request_id=exchange.request_id, reason=str(error))
            return False
        return True


class _Answer:
    """Holds an answer's beginning back until its line is written; of a streamed one, only its last piece."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, line: _Line, writer: Executor) -> None:
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
        """The handler failed, which is answered outside of this."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._line.write, b"", 500)

    async def _withhold(self) -> None:
        """An error in place of the answer; where a part of that is out, the server closes the connection."""
        if self._start is not None:
            await response(AuditUnavailable())(self._scope, self._receive, self._send)
