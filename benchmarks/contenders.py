"""Contenders: servers of the same ONNX file over HTTP, their commands and their requests."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.client import Target, answer, multipart
from benchmarks.images import Upload
from benchmarks.networks import Network
from benchmarks.processes import Server, free_port, serving

TOLERANCE = 1e-3  # of a probability, between sides: resizing and arithmetic differ in the last digits


@dataclass(frozen=True, slots=True)
class Contender:
    """A server. command: arguments to Python. classes: extracts [{label, probability}, ...] from its JSON."""

    command: str
    ready: str
    path: str = "/predict"
    field: str = "image"
    classes: Callable[[Any], list[dict[str, Any]]] = lambda answer: answer["classes"]

    def target(self, server: Server, upload: Upload) -> Target:
        return multipart(server.port, self.path, upload.data, field=self.field, kind=upload.kind)


SERVICE = "this service"
CONTENDERS: dict[str, Contender] = {
    SERVICE: Contender("-m service --port {port}", "/readyz"),
    "plain BentoML": Contender(
        "-m bentoml serve benchmarks.sides.bentoml_service:Classifier --port {port}",
        "/readyz",
        field="images",
        classes=lambda answer: answer[0]["classes"],
    ),
    "FastAPI": Contender("-m uvicorn benchmarks.sides.fastapi_app:app --port {port} --no-access-log", "/docs"),
    "LitServe": Contender("-m benchmarks.sides.litserve_app {port}", "/health"),
}
BARE = Contender("-m uvicorn benchmarks.sides.bare_uvicorn:app --port {port} --no-access-log --lifespan off", "/")


@contextmanager
def started(contender: Contender, network: Network) -> Iterator[Server]:
    """Runs the server with the network; it is suspended except within `Server.awake`."""
    port = free_port()
    environment = {
        "STRIATE_MODELS": str(network.root),
        "BENCHMARK_WEIGHTS": str(network.weights),
        "BENTOML_DO_NOT_TRACK": "True",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, *contender.command.format(port=port).split()]
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(command, port=port, ready=contender.ready, folder=Path(folder), environment=environment) as server,
    ):
        yield server


def check_alike(servers: dict[str, Server], upload: Upload) -> None:
    """Raises RuntimeError unless all servers predict the same classes, which shows that they do the same work."""
    seen = {}
    for name, server in servers.items():
        with server.awake():
            given = CONTENDERS[name].classes(answer(CONTENDERS[name].target(server, upload)))
        seen[name] = {found["label"]: found["probability"] for found in given}
    first = next(iter(seen.values()))
    for name, found in seen.items():
        differ = {*found} != {*first} or max(abs(found[label] - first[label]) for label in first) > TOLERANCE
        if differ:
            raise RuntimeError(f"{name} answers {found}, {next(iter(seen))} answers {first}")
