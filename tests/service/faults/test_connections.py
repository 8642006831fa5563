"""More connections than anybody needs, and fewer files than a service would like, of a real one."""

import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from tests.service.image_files import form, grey
from tests.service.repository.versions import write_version
from tests.service.service_processes import children, until
from tests.serving import request_anew, served

pytestmark = pytest.mark.slow
IDLE, FILES, FLOOD = 1000, 128, 400
WORKER = "_bentoml_impl.worker.service"


def label(http: httpx.Client) -> str:
    """Over a connection of its own."""
    url = http.base_url.join("/predict")
    got = request_anew("POST", url, files=form(grey(204)), data={"model": "brightness"}, timeout=60)
    return str(got.json()["classes"][0]["label"])


def connect(http: httpx.Client, count: int, held: ExitStack) -> list[socket.socket]:
    address = (http.base_url.host, http.base_url.port)
    return [held.enter_context(socket.create_connection(address, timeout=60)) for _ in range(count)]


def seconds(http: httpx.Client) -> float:
    """The middle one of nine answers."""
    taken = []
    for _ in range(9):
        started = time.perf_counter()
        assert label(http) == "bright"
        taken.append(time.perf_counter() - started)
    return sorted(taken)[4]


def test_a_thousand_idle_connections_cost_nobody_else_and_are_closed(root: Path, tmp_path: Path) -> None:
    with served(tmp_path / "log", STRIATE_MODELS=str(root)) as (http, process), ExitStack() as held:
        (worker,) = children(process, WORKER)
        alone = seconds(http)
        idle = connect(http, IDLE, held)
        until(lambda: len(worker.net_connections("tcp")) > 0.9 * IDLE)
        assert seconds(http) < 10 * alone + 0.5  # a loop over them all would take longer the more there are
        until(lambda: len(worker.net_connections("tcp")) < 10)  # HEAD_S, without any word from them
        assert idle[0].recv(1) == b""


def processor_seconds(worker: psutil.Process) -> float:
    used = worker.cpu_times()
    return used.user + used.system


def test_a_flood_leaves_files_for_requests_and_models_and_does_not_spin(tmp_path: Path) -> None:
    """More connections than files: those that are silent make room, and a model that comes meanwhile is loaded."""
    models = tmp_path / "models"
    write_version(models, "1.0")
    whole = write_version(tmp_path / "elsewhere", "2.0").folder
    variables = {"STRIATE_MODELS": str(models), "STRIATE_RESCAN_S": "0.5"}
    within = ["prlimit", f"--nofile={FILES}:{FILES}"]
    with served(tmp_path / "log", within=within, **variables) as (http, process):
        (worker,) = children(process, WORKER)
        assert label(http) == "bright"
        with ExitStack() as held:
            connect(http, FLOOD, held)
            assert worker.num_fds() < FILES - 8
            subprocess.run(["cp", "-r", str(whole), str(models / "brightness/2.0")], check=True)
            before = processor_seconds(worker)
            time.sleep(5)
            assert processor_seconds(worker) - before < 4
            until(lambda: request_anew("GET", http.base_url.join("/models/brightness")).json()["version"] == "2.0")
            assert label(http) == "dark"
        until(lambda: worker.num_fds() < FILES // 2)
        assert worker.is_running()
