"""Workbench: the page at `/`, its static files, and the public files of the models' packages."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.errors import PackageError
from service.errors import NotReady
from service.http.errors import UnknownFile
from service.http.responses import packaged
from service.lifecycle import Runtime

STATIC = Path(__file__).with_name("static")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _StaticFile:
    plain: bytes
    gzipped: bytes
    etag: str
    media_type: str


class Workbench:
    """The handlers of the page. Its files are read, compressed and digested once; browsers revalidate them by ETag."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._files = {path.name: _read(path) for path in STATIC.iterdir() if path.suffix in _TYPES}

    def table(self) -> list[Route]:
        return [
            Route("/web/{file}", self.file),
            Route("/models/{name}/files/{file}", self.packaged),
        ]

    def page(self, request: Request) -> Response:
        return self._respond("index.html", request)

    async def file(self, request: Request) -> Response:
        """Returns a file of the page."""
        return self._respond(request.path_params["file"], request)

    async def packaged(self, request: Request) -> Response:
        """Returns a file of a model's package: its README, a sample, a plot."""
        name = request.path_params["file"]
        package = self._runtime.state.current.get(request.path_params["name"]).package
        if name not in package.readable:
            raise UnknownFile(name, known=package.readable)
        try:
            return packaged(name, await run_in_threadpool(package.file, name))
        except PackageError as error:  # its folder was replaced on disk
            raise NotReady(str(error)) from error

    def _respond(self, name: str, request: Request) -> Response:
        """Raises UnknownFile."""
        if (file := self._files.get(name)) is None:
            raise UnknownFile(name, known=sorted(self._files))
        headers = {
            "ETag": file.etag,
            "Cache-Control": "no-cache",
            "Content-Security-Policy": POLICY,
            "Vary": "Accept, Accept-Encoding",
        }
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.gzipped, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)
        return Response(file.plain, headers=headers, media_type=file.media_type)


def wants_page(request: Request) -> bool:
    """Returns whether a browser navigates to the page; programs, which accept */* or send nothing, get JSON."""
    return "text/html" in request.headers.get("accept", "")


def _read(path: Path) -> _StaticFile:
    plain = path.read_bytes()
    etag = f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
    return _StaticFile(plain, gzip.compress(plain, 9, mtime=0), etag, _TYPES[path.suffix])
