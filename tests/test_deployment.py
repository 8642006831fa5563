"""What is shipped: the Bento's content, and that it serves."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service import __version__
from tests.serving import free_port, process

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IN_IMAGE = "/home/bentoml/bento"
BENTOFILES = {"cpu": ROOT / "bentofile.yaml", "gpu": ROOT / "deploy/bentofile.gpu.yaml"}


def bentofile(extra: str) -> dict[str, Any]:
    return yaml.safe_load(BENTOFILES[extra].read_text())


@pytest.mark.parametrize("extra", BENTOFILES)
def test_a_bento_wants_what_pyproject_says(extra: str) -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras[extra] + extras["trace"]
    assert bentofile(extra)["python"]["packages"] == wanted


def test_the_two_bentos_differ_in_onnxruntime_alone() -> None:
    cpu, gpu = bentofile("cpu"), bentofile("gpu")
    for name, each in (("cpu", cpu), ("gpu", gpu)):
        each["python"].pop("packages")
        each["python"]["wheels"].remove(f"deploy/lock/{name}.txt")
    assert cpu == gpu


@pytest.mark.parametrize("extra", BENTOFILES)
@pytest.mark.parametrize("variable", ["BENTOML_DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY"])
def test_nothing_in_the_image_reports_to_its_maker(variable: str, extra: str) -> None:
    assert bentofile(extra)["docker"]["env"][variable] in {"True", "1"}


@pytest.mark.parametrize(("target", "suffix"), [("image", ""), ("image-gpu", "-gpu")])
def test_an_image_has_a_tag_that_no_other_commit_takes(target: str, suffix: str) -> None:
    command = ["make", "--dry-run", target, "BASE_IMAGE=python@sha256:1"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (build,) = re.findall(r"docker build .*", lines.replace("\\\n", ""))
    (commit,) = re.findall(r"--build-arg REVISION=(\S+)", build)
    assert re.findall(r"-t (\S+)", build) == [
        f"striate:{__version__}{suffix}",
        f"striate:{__version__}-{commit}{suffix}",
    ]
    assert "--build-arg BASE_IMAGE=python@sha256:1 " in build


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "service.__version__"}


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Bento built from this checkout, as a folder."""
    home = tmp_path_factory.mktemp("bentoml")
    command = [sys.executable, "-m", "bentoml", "build", "--output", "tag"]
    environment = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PATH": str(Path(sys.executable).parent)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    name, _, version = done.stdout.strip().removeprefix("__tag__:").partition(":")
    return home / "bentos" / name / version


@pytest.mark.slow
def test_a_bento_holds_the_service_and_the_starter_packages(bento: Path) -> None:
    held = {str(path.relative_to(bento / "src")) for path in (bento / "src").rglob("*") if path.is_file()}
    shipped = subprocess.run(
        ["git", "ls-files", "service", "models"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {line for line in shipped.stdout.split() if not line.startswith("models/architectures/")}
    assert wanted <= held
    assert {path.split("/")[0] for path in held} == {"service", "models", "bentofile.yaml"}
    assert not [path for path in held if "architectures" in path or path.endswith(".pyc")]


@pytest.mark.slow
def test_a_bento_installs_no_torch(bento: Path) -> None:
    wanted = (bento / "env/python/requirements.txt").read_text()
    assert "torch" not in wanted
    assert "onnxruntime" in wanted
    assert "-c wheels/constraints.txt" in (bento / "env/python/install.sh").read_text()
    assert (bento / "env/python/wheels/constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()


@pytest.mark.slow
def test_a_bento_runs_as_a_user_that_is_not_root(bento: Path) -> None:
    dockerfile = (bento / "env/docker/Dockerfile").read_text()
    assert dockerfile.splitlines()[-3].strip() == "USER bentoml" or "\nUSER bentoml\n" in dockerfile
    assert dockerfile.splitlines()[0] == f"ARG BASE_IMAGE={bentofile('cpu')['docker']['base_image']}"
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {
        "${BASE_IMAGE}"
    }  # one value, also with a digest


def in_image(bento: Path, home: Path) -> dict[str, str]:
    """The environment that the image gives the service, for a Bento that lies elsewhere."""
    given = {name: value.replace(IN_IMAGE, str(bento)) for name, value in bentofile("cpu")["docker"]["env"].items()}
    return given | {"BENTOML_HOME": str(home), "PATH": str(Path(sys.executable).parent)}


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "models/starter").is_dir(), reason="models/starter is not there yet")
def test_a_bento_finds_the_packages_that_ship_with_it(bento: Path, tmp_path: Path) -> None:
    packages = sorted((ROOT / "models/starter").glob("*/*/rdf.yaml"))
    shipped = sorted(Path(in_image(bento, tmp_path)["STRIATE_MODELS"]).glob("*/*/rdf.yaml"))
    assert [path.read_bytes() for path in shipped] == [path.read_bytes() for path in packages]


@pytest.mark.slow
def test_a_bento_serves_without_the_checkout(bento: Path, root: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port)]
    settings = in_image(bento, tmp_path) | {"STRIATE_MODELS": str(root), "STRIATE_DEVICE": "cpu"}
    with process(command, ready=f"{url}/readyz", folder=tmp_path, **settings):
        served = httpx.get(f"{url}/models").json()["models"]
    assert sorted(model["name"] for model in served) == sorted(folder.name for folder in root.iterdir())
    assert {model["status"] for model in served} == {"ready"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine may have the GPU that is promised")
def test_a_bento_refuses_to_start_without_the_gpu_it_was_promised(bento: Path, root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(free_port())]
    settings = in_image(bento, tmp_path) | {"STRIATE_MODELS": str(root), "STRIATE_DEVICE": "cuda"}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode != 0
    assert "striate: STRIATE_DEVICE=cuda, but ONNX Runtime has no working CUDA here" in done.stderr
    assert "Traceback" not in done.stderr
