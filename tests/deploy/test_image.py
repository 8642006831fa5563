"""The image in Docker, with minimal rights: `make image-test` builds it and runs these tests.

A test that changes a container has one of its own.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import __version__
from service.security.api_keys import new_key
from tests.deploy.container import HARDENED, IMAGE, Container, docker, running, until
from tests.service.image_files import form

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]
STARTER = Path(__file__).parents[2] / "models/starter"
SAMPLES = {path.parts[-3]: path for path in sorted(STARTER.glob("*/*/sample.png"))}
FRONT_END, ENGINE = "_bentoml_impl.worker.service", "service.engine"


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with running() as one:
        yield one


def test_it_serves_the_packages_that_ship(container: Container) -> None:
    served = {model["name"]: model["status"] for model in container.http.get("/models").json()["models"]}
    assert served == dict.fromkeys(SAMPLES, "ready")


@pytest.mark.parametrize("name", ["digits", "pneumonia"])
def test_it_classifies_a_sample_and_shows_where(container: Container, name: str) -> None:
    image = form(SAMPLES[name].read_bytes())
    answer = container.http.post("/predict", files=image, data={"model": name}).raise_for_status().json()
    assert answer["model"]["name"] == name
    assert answer["classes"][0]["probability"] > 0.5
    shown = container.http.post("/cam", files=image, data={"model": name, "format": "raw"}).raise_for_status()
    assert shown.headers["X-Striate-Model-Sha256"] == answer["model"]["sha256"]


def test_it_segments_a_sample(container: Container) -> None:
    fields = {"model": "nuclei", "format": "measurements"}
    answer = container.http.post("/segment", files=form(SAMPLES["nuclei"].read_bytes()), data=fields)
    assert answer.raise_for_status().json()["count"] > 5


def test_its_metrics_count(container: Container) -> None:
    series = 'striate_requests_total{route="/predict",status="415"}'
    before = container.metric(series)
    assert container.http.post("/predict", files=form(b"no image"), data={"model": "digits"}).status_code == 415
    assert container.metric(series) == before + 1


def test_it_runs_without_rights(container: Container) -> None:
    status = dict(line.split(":\t", 1) for line in container.does("cat /proc/1/status").splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) == {"1034"}
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"  # Docker's filter


def test_no_file_gives_its_caller_more_rights(container: Container) -> None:
    assert container.does("find / -xdev -type f -perm /6000 2>/dev/null; true") == ""


def test_it_can_write_nowhere_but_in_its_tmp(container: Container) -> None:
    places = container.does(
        "find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -writable -print 2>/dev/null; true"
    )
    assert places.split() == ["/tmp"]
    owners = container.does("find /app /home/bentoml/bento ! -user root")
    assert owners == ""  # so that even where the root is writable nobody changes the code


def test_no_compiler_is_left_inside_nor_what_installs_one(container: Container) -> None:
    tools = "cc gcc g++ c++ cpp clang tcc rustc cargo go nvcc ld as make cmake uv uvx git curl wget"
    assert container.does(f"for tool in {tools}; do command -v $tool; done; true") == ""
    assert container.does("find / -xdev -name 'cc1*' 2>/dev/null; true") == ""


def test_its_bill_of_materials_is_what_is_installed(container: Container) -> None:
    listed = json.loads(container.does("cat /app/sbom.json"))
    assert listed["bomFormat"] == "CycloneDX"
    named = {(each["name"].lower(), each["version"]) for each in listed["components"]}
    script = 'import importlib.metadata as m; print(*(d.name.lower() + "==" + d.version for d in m.distributions()))'
    assert {"==".join(each) for each in named} == set(container.does(f"python -c '{script}'").split())
    assert not [name for name, _ in named if name == "torch"]
    assert all(each.get("licenses") for each in listed["components"] if each["name"] in {"bentoml", "numpy", "pillow"})


def test_its_log_is_json(container: Container) -> None:
    assert {"model loaded", "ready", "request"} <= {json.loads(line)["event"] for line in container.log()}


def test_it_is_small_and_says_what_it_is() -> None:
    (image,) = json.loads(docker("image", "inspect", IMAGE))
    assert image["Size"] < 750e6
    assert image["Config"]["User"] == "bentoml"
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in image["Config"]["Labels"].items()}
    assert labels.items() >= {("title", "striate"), ("version", __version__), ("licenses", "MIT")}
    assert "source" in labels
    assert f"{IMAGE}-{labels['revision']}" in image["RepoTags"]  # stays when a later build takes the version's tag


def test_it_is_healthy_when_it_is_ready(container: Container) -> None:
    until(lambda: container.health() == "healthy")


@pytest.mark.parametrize("front_ends", ["1", "2"])
def test_a_request_under_way_is_answered_before_it_ends(front_ends: str) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        image = SAMPLES["digits"].read_bytes()
        yield image[:20]
        begun.set()
        goes_on.wait(timeout=120)
        yield image[20:]

    with running(STRIATE_FRONT_ENDS=front_ends, STRIATE_TIMEOUT_S="120") as one, ThreadPoolExecutor(2) as threads:
        headers, options = {"Content-Type": "image/png"}, {"model": "digits"}
        answer = threads.submit(one.http.post, "/predict", content=slowly(), headers=headers, params=options)
        assert begun.wait(timeout=60)
        assert one.status("/readyz") == 200  # what came before has reached a front end
        stopped = threads.submit(docker, "stop", "--time=120", one.id)
        until(lambda: one.status("/livez") == 0)
        goes_on.set()
        assert answer.result(timeout=120).status_code == 200
        stopped.result(timeout=120)
        assert one.state()["ExitCode"] == 0


def test_several_front_ends_and_their_engine_are_started_again() -> None:
    with running(STRIATE_FRONT_ENDS="2") as one:
        (engine,) = one.processes(ENGINE)
        first, second = one.processes(FRONT_END)
        one.does(f"kill -9 {first}")
        until(lambda: len(set(one.processes(FRONT_END)) - {first}) == 2)
        one.does(f"kill -9 {engine}")
        until(lambda: one.status("/readyz") == 503)
        until(lambda: [one.status("/readyz") for _ in range(8)] == 8 * [200])
        assert one.processes(ENGINE) != [engine]
        assert second in one.processes(FRONT_END)
        image = form(SAMPLES["digits"].read_bytes())
        assert one.http.post("/predict", files=image, data={"model": "digits"}).status_code == 200


def test_it_ends_with_its_only_front_end_so_that_it_is_restarted() -> None:
    with running() as one:
        (front_end,) = one.processes(FRONT_END)
        one.does(f"kill -9 {front_end}")
        until(lambda: not one.state()["Running"])
        assert one.state()["ExitCode"] != 0


def test_it_refuses_to_serve_everybody_without_being_told_to() -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", *HARDENED, IMAGE], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert "STRIATE_WITHOUT_KEYS=anywhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_asks_for_a_key_where_there_are_keys(tmp_path: Path) -> None:
    key, lines = new_key("viewer", ["infer"])
    (tmp_path / "keys.toml").write_text(lines)
    tmp_path.chmod(0o755)  # the container's user reads it
    with running(tmp_path, STRIATE_KEYS="/run/secrets/keys.toml", STRIATE_WITHOUT_KEYS="loopback") as one:
        assert one.status("/models") == 401
        assert one.http.get("/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert one.http.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 403
