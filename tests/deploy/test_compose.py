"""Compose: each container has no more than it needs, and no command of the documentation opens a door."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import __version__
from service.settings import PREFIX, Settings
from tests.compose import COMPOSE, ROOT, composed, config, installed, needs_compose

SERVICES = sorted(COMPOSE["services"])


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        (COMPOSE["services"]["striate"]["image"], f"striate:{__version__}"),
        (COMPOSE["services"]["striate-gpu"]["image"], f"striate:{__version__}-gpu"),
    ],
)
def test_the_image_has_the_projects_version(image: str, tag: str) -> None:
    assert image.endswith(f":-{tag}}}")  # ${SERVICE_IMAGE:-striate:0.1.0}


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


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_takes_a_bounded_share_of_its_host(name: str) -> None:
    service = COMPOSE["services"][name]
    assert {"cpus", "mem_limit", "pids_limit"} <= service.keys()
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", ["striate", "striate-gpu"])
def test_every_setting_can_be_set_from_outside(name: str) -> None:
    settings = {PREFIX + field.upper() for field in Settings.model_fields}
    given = COMPOSE["services"][name]["environment"].keys()
    assert {name for name in given if name.startswith(PREFIX)} == settings


def test_the_profile_gpu_differs_in_the_gpu_alone() -> None:
    cpu, gpu = COMPOSE["services"]["striate"], COMPOSE["services"]["striate-gpu"]
    differs = {key for key in cpu.keys() | gpu.keys() if cpu.get(key) != gpu.get(key)}
    assert differs == {"profiles", "image", "environment", "networks", "deploy", "cpus", "mem_limit", "memswap_limit"}
    assert gpu["profiles"] == ["gpu"]
    assert gpu["environment"]["STRIATE_DEVICE"] == "cuda"  # a GPU that does not work ends it
    assert gpu["networks"]["inside"]["aliases"] == ["striate"]  # whom Prometheus scrapes
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_the_image_is_healthy_as_in_compose() -> None:
    check = COMPOSE["services"]["striate"]["healthcheck"]
    text = (ROOT / "deploy/Dockerfile.j2").read_text().replace("\\\n", "")
    (options, command) = re.findall(r"^HEALTHCHECK (.+) CMD (.+)$", text, re.MULTILINE)[0]
    assert ["CMD", *json.loads(command)] == check["test"]
    given = dict(option.removeprefix("--").split("=") for option in options.split())
    assert {name.replace("-", "_"): text for name, text in given.items()} == {
        name: str(value) for name, value in check.items() if name != "test"
    }


def test_every_variable_of_compose_is_documented() -> None:
    files = (ROOT / "docker-compose.yml", *ROOT.glob("deploy/docker-compose.*.yml"))
    used = {match for file in files for match in re.findall(r"\$\{(\w+)", file.read_text())}
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE))
    assert used <= told


@needs_compose
def test_a_plain_command_keeps_what_was_decided(tmp_path: Path) -> None:
    """The two lines of the documentation that decide, one after the other: without keys, then with them."""
    lines = re.findall(r"^sed -i '.*' \.env", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE)
    seen = [keys_of(installed(tmp_path))]
    for line in lines:
        subprocess.run(line, shell=True, cwd=tmp_path, check=True, timeout=60)
        seen.append(keys_of(tmp_path))
    assert seen == [(None, None), (None, "anywhere"), ("/run/secrets/keys.toml", "loopback")]
    assert "\nSTRIATE_WITHOUT_KEYS" not in (tmp_path / ".env").read_text()  # nor without the overlay


def keys_of(folder: Path) -> tuple[str | None, str | None]:
    done = config(folder)
    assert done.returncode == 0, done.stderr
    environment = yaml.safe_load(done.stdout)["services"]["striate"]["environment"]
    return environment["STRIATE_KEYS"], environment["STRIATE_WITHOUT_KEYS"]


def test_no_container_gets_an_answer_from_beyond_the_host() -> None:
    ((name, network),) = COMPOSE["networks"].items()
    assert network["driver_opts"] == {
        "com.docker.network.bridge.enable_ip_masquerade": "${OUTGOING_CONNECTIONS:-false}"
    }
    assert all(list(service["networks"]) == [name] for service in COMPOSE["services"].values())


@needs_compose
def test_grafana_has_a_password_of_its_own_or_nothing_starts(tmp_path: Path) -> None:
    done = config(installed(tmp_path))
    password = yaml.safe_load(done.stdout)["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert len(password) == 24
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    subprocess.run(["make", "--silent", ".env"], cwd=tmp_path, check=True, timeout=60)
    assert f"\nGRAFANA_ADMIN_PASSWORD={password}\n" in (tmp_path / ".env").read_text()  # as it was
    (tmp_path / ".env").unlink()
    refused = config(tmp_path)
    assert refused.returncode != 0
    assert "set it in .env, which `make .env` writes" in refused.stderr


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
    assert mounts(locked["prometheus"])["/run/secrets"] == "ro"
    assert locked[name]["read_only"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned(name: str) -> None:
    tag = COMPOSE["services"][name]["image"].removesuffix("}").rpartition(":")[2]  # ${VARIABLE:-name:tag}
    assert tag[0].isdigit() or tag.startswith("v"), tag


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_from_the_repository_exists_and_is_read_only(name: str) -> None:
    mounted = [v for v in COMPOSE["services"][name].get("volumes", []) if isinstance(v, str) and v.startswith("./")]
    for source, _, mode in (mount.split(":") for mount in mounted):
        assert (ROOT / source).exists(), source
        assert mode == "ro"
