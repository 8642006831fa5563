"""GPU server benchmark: the service over HTTP against the network alone on the same device."""

import importlib.util
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import images, report
from benchmarks.client import Target, multipart
from benchmarks.client import raw as post
from benchmarks.gpu_engine import Scale, alone, per_second, raw, table
from benchmarks.gpu_networks import network
from benchmarks.images import Upload
from benchmarks.load import closed
from benchmarks.networks import Network
from benchmarks.processes import Server, free_port, serving
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, Finding, Ratio, interleaved, with_control

RAW, MANY, SINGLE = "raw io_binding", "requests of many images", "single images"
SPAWN = multiprocessing.get_context("spawn")  # what has a CUDA context must not fork
WITH_BENTOML = "-m service --port {port}"
WITHOUT = "-m benchmarks.sides.without_bentoml {port}"
# What a server of the service needs, as modules; BentoML is not among them: without it, uvicorn alone serves.
NEEDED = (
    "httptools", "imagecodecs", "isal", "multipart", "orjson", "PIL", "prometheus_client", "pydantic_settings", "scipy",
    "skimage", "starlette", "tifffile", "uvicorn", "uvloop", "yaml",
)  # fmt: skip


def missing() -> list[str]:
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def has_bentoml() -> bool:
    return importlib.util.find_spec("bentoml") is not None


def run(scale: Scale) -> Iterator[Section]:
    chosen = network(scale.busy, "half")
    prepared = alone(chosen, scale, size=scale.batch)
    raw_rate = partial(per_second, partial(raw, prepared, scale.batch), images=scale.batch, seconds=scale.seconds)
    sides: dict[str, Callable[[], float]] = {RAW: raw_rate}
    with ExitStack() as stack:
        clients = stack.enter_context(ProcessPoolExecutor(scale.clients, mp_context=SPAWN))
        for name, environment in front_ends(scale).items():
            server = stack.enter_context(started(chosen, scale, environment))
            asked = partial(_asked, server, clients, processes=scale.clients, seconds=scale.seconds)
            sides |= {f"{kind}, {name}": side for kind, side in _requests(asked, server.port, scale).items()}
        rates = interleaved(with_control(sides, of=RAW), rounds=scale.rounds)
    yield Section(f"{chosen.spec.name}: the service / {RAW}", _about(scale), [_findings(rates, scale), table(rates)])


def front_ends(scale: Scale) -> dict[str, dict[str, str]]:
    """Returns the settings for this number of front ends; several share one engine process."""
    return {f"{count} front ends": {"STRIATE_FRONT_ENDS": f"{count}"} for count in scale.front_ends}


def _requests(asked: Callable[..., float], port: int, scale: Scale) -> dict[str, Callable[[], float]]:
    upload = images.xray()
    one = multipart(port, "/predict", upload.data, field="image", kind=upload.kind)
    many = several(port, upload, scale.batch)
    return {
        MANY: partial(asked, many, images=scale.batch, callers=max(scale.callers // scale.batch, 2)),
        f"{SINGLE}, {scale.callers} callers": partial(asked, one, images=1, callers=scale.callers),
        f"{SINGLE}, 32 callers": partial(asked, one, images=1, callers=32),
        f"{SINGLE}, 1 caller": partial(asked, one, images=1, callers=1),
    }


@contextmanager
def started(chosen: Network, scale: Scale, environment: dict[str, str]) -> Iterator[Server]:
    """Runs the service with this network; it is suspended except within `Server.awake`."""
    port = free_port()
    environment = environment | {
        "STRIATE_MODELS": str(chosen.root),
        "STRIATE_DEVICE": scale.device,
        "STRIATE_QUEUE_LENGTH": "4096",
        "BENTOML_DO_NOT_TRACK": "True",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, *(WITH_BENTOML if has_bentoml() else WITHOUT).format(port=port).split()]
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(command, port=port, ready="/readyz", folder=Path(folder), environment=environment) as server,
    ):
        yield server


def several(port: int, upload: Upload, count: int) -> Target:
    """Builds a POST /predict with several copies of a file."""
    disposition = 'Content-Disposition: form-data; name="image"; filename="image"'
    head = f"--part\r\n{disposition}\r\nContent-Type: {upload.kind}\r\n\r\n"
    body = (head.encode() + upload.data + b"\r\n") * count + b"--part--\r\n"
    return post(port, "/predict", body, kind="multipart/form-data; boundary=part")


def _about(scale: Scale) -> str:
    how = "python -m service" if has_bentoml() else "uvicorn alone: there is no BentoML here"
    return (
        f"Images a second. {RAW}: batches of {scale.batch} from pinned memory to the device and the probabilities "
        f"back, in one thread. The service: {how}. {MANY}: {scale.batch} images in each, "
        f"{max(scale.callers // scale.batch, 2)} callers. {scale.clients} processes ask; {images.xray().about}."
    )


def _findings(rates: dict[str, list[float]], scale: Scale) -> Table:
    """Reports the fastest configuration of the service."""
    control = Ratio.of(rates[CONTROL], rates[RAW])
    found = []
    for kind, reach in ((MANY, 0.80), (f"{SINGLE}, {scale.callers} callers", 0.40)):
        best = max((side for side in rates if side.startswith(kind)), key=lambda side: median(rates[side]))
        ratio = Ratio.of(rates[best], rates[RAW])
        found.append(Finding(f"{best} / {RAW}", ratio, control, scale.reach(reach)))
    for name in front_ends(scale):
        some, one = (rates[f"{SINGLE}, {callers}, {name}"] for callers in ("32 callers", "1 caller"))
        found.append(Finding(f"32 callers / 1 caller, {name}", Ratio.of(some, one), control, scale.reach(5)))
    return report.findings(found)


def _asked(
    server: Server,
    clients: ProcessPoolExecutor,
    target: Target,
    *,
    images: int,
    callers: int,
    processes: int,
    seconds: float,
) -> float:
    """Images a second of all callers, who are spread over the processes that ask. images: in a request."""
    shares = [len(range(first, callers, processes)) for first in range(min(processes, callers))]
    with server.awake():
        return images * sum(clients.map(partial(_answers, target, seconds), shares))


def _answers(target: Target, seconds: float, callers: int) -> float:
    """Answers a second; in a process of its own. Raises RuntimeError where a request fails: then there is no figure."""
    closed(target, callers=callers, seconds=0, at_least=2 * callers)
    load = closed(target, callers=callers, seconds=seconds)
    if load.errors:
        raise RuntimeError(f"{load.errors} requests failed")
    return load.per_second
