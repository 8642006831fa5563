"""What is shipped: the Bento's content, and that compose gives each container no more than it needs."""

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
from service.settings import PREFIX, Settings
from tests.compose import COMPOSE
from tests.serving import free_port, process

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SERVICES = sorted(COMPOSE["services"])
IN_IMAGE = "/home/bentoml/bento"
BENTOFILES = {"cpu": ROOT / "bentofile.yaml", "gpu": ROOT / "deploy/bentofile.gpu.yaml"}

COMPOSER = shutil.which("docker-compose") or "docker-compose"
needs_compose = pytest.mark.skipif(shutil.which(COMPOSER) is None, reason="docker-compose is not installed")


def bentofile(extra: str) -> dict[str, Any]:
    return yaml.safe_load(BENTOFILES[extra].read_text())


@pytest.mark.parametrize("extra", BENTOFILES)
def test_a_bento_wants_what_pyproject_says(extra: str) -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras[extra] + extras["trace"]
    assert bentofile(extra)["python"]["packages"] == wanted


def test_the_two_bentos_differ_in_onnxruntime_alone() -> None:
    cpu, gpu = bentofile("cpu"), bentofile("gpu")
    cpu["python"].pop("packages")
    gpu["python"].pop("packages")
    assert cpu == gpu


@pytest.mark.parametrize("extra", BENTOFILES)
@pytest.mark.parametrize("variable", ["BENTOML_DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY"])
def test_nothing_in_the_image_reports_to_its_maker(variable: str, extra: str) -> None:
    assert bentofile(extra)["docker"]["env"][variable] in {"True", "1"}


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        (COMPOSE["services"]["striate"]["image"], f"striate:{__version__}"),
        (COMPOSE["services"]["striate-gpu"]["image"], f"striate:{__version__}-gpu"),
    ],
)
def test_the_image_has_the_projects_version(image: str, tag: str) -> None:
    assert image.endswith(f":-{tag}}}")  # ${SERVICE_IMAGE:-striate:0.1.0}


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "service.__version__"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_right_it_does_not_need(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["healthcheck"]["test"][0] == "CMD"
    assert "privileged" not in service


@pytest.mark.parametrize("name", ["striate", "striate-gpu"])
def test_every_setting_can_be_set_from_outside(name: str) -> None:
    settings = {PREFIX + field.upper() for field in Settings.model_fields}
    given = COMPOSE["services"][name]["environment"].keys()
    assert {name for name in given if name.startswith(PREFIX)} == settings


def test_the_profile_gpu_differs_in_the_gpu_alone() -> None:
    cpu, gpu = COMPOSE["services"]["striate"], COMPOSE["services"]["striate-gpu"]
    differs = {key for key in cpu.keys() | gpu.keys() if cpu.get(key) != gpu.get(key)}
    assert differs == {"profiles", "image", "environment", "networks", "deploy"}
    assert gpu["profiles"] == ["gpu"]
    assert gpu["environment"]["STRIATE_DEVICE"] == "cuda"  # a GPU that does not work ends it
    assert gpu["networks"]["default"]["aliases"] == ["striate"]  # whom Prometheus scrapes
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_every_variable_of_compose_is_documented() -> None:
    files = (ROOT / "docker-compose.yml", *ROOT.glob("deploy/docker-compose.*.yml"))
    used = {match for file in files for match in re.findall(r"\$\{(\w+)", file.read_text())}
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE))
    assert used <= told


def composed(*over: str) -> dict[str, Any]:
    """What docker-compose makes of the file and of those of deploy/ on top, by service."""
    files = ["docker-compose.yml", *(f"deploy/docker-compose.{name}.yml" for name in over)]
    command = [COMPOSER, *(f"--file={file}" for file in files), "config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where the service's volumes are mounted -> ro or rw, whichever way compose writes them."""
    long = {each["target"]: each for each in service["volumes"] if isinstance(each, dict)}
    short = [each.split(":") for each in service["volumes"] if isinstance(each, str)]
    modes = {target: "ro" if each.get("read_only") else "rw" for target, each in long.items()}
    return modes | {target: mode[0] if mode else "rw" for _, target, *mode in short}


@needs_compose
@pytest.mark.parametrize("name", ["striate", "striate-gpu"])
def test_the_folder_of_models_is_read_only_unless_it_is_asked_for(name: str) -> None:
    assert mounts(composed()[name])["/models"] == "ro"
    writable = mounts(composed("writable")[name])
    assert writable["/models"] == "rw"
    assert composed("writable")[name].keys() == composed()[name].keys()


@needs_compose
@pytest.mark.parametrize("name", ["striate", "striate-gpu"])
def test_with_keys_everybody_is_asked_for_one(name: str) -> None:
    locked = composed("keys")
    assert locked[name]["environment"]["STRIATE_WITHOUT_KEYS"] == "loopback"
    assert locked[name]["environment"]["STRIATE_KEYS"] == "/run/secrets/keys.toml"
    assert mounts(locked[name])["/run/secrets"] == "ro"
    assert mounts(locked["prometheus"])["/run/secrets/metrics.key"] == "ro"
    assert locked[name]["read_only"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned(name: str) -> None:
    tag = COMPOSE["services"][name]["image"].rpartition(":")[2]
    assert tag[0].isdigit() or tag.startswith("v"), tag


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_from_the_repository_exists_and_is_read_only(name: str) -> None:
    mounted = [v for v in COMPOSE["services"][name].get("volumes", []) if isinstance(v, str) and v.startswith("./")]
    for source, _, mode in (mount.split(":") for mount in mounted):
        assert (ROOT / source).exists(), source
        assert mode == "ro"


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
    assert "FROM python:3.11-slim-bookworm" in dockerfile


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
