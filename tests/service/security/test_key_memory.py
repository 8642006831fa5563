"""Tests of the memory of API keys: which starts are refused, and what allows them again."""

import re
import subprocess
from pathlib import Path

import pytest

from service.security.api_keys import new_key
from service.security.key_memory import MARKER, check_key_memory
from service.settings import InvalidSettings, Settings
from tests import tiny
from tests.serving import ROOT, command, environment, free_port, served

KEYS = {"keys": "keys.toml"}
ANYWHERE = {"without_keys": "anywhere"}


def start(folder: Path | str, given: dict[str, str]) -> None:
    check_key_memory(Settings.model_validate({**given, "state": str(folder)}))


@pytest.mark.parametrize(
    ("first", "second"),
    [({}, {}), ({}, ANYWHERE), (ANYWHERE, ANYWHERE), (ANYWHERE, KEYS), (KEYS, KEYS), (KEYS, {**KEYS, **ANYWHERE})],
)
def test_a_start_that_opens_no_door_is_allowed(tmp_path: Path, first: dict[str, str], second: dict[str, str]) -> None:
    start(tmp_path, first)
    start(tmp_path, second)


@pytest.mark.parametrize("then", [{}, ANYWHERE, {"keys": ""}])
def test_without_the_keys_it_had_it_does_not_start_until_the_note_is_deleted(
    tmp_path: Path, then: dict[str, str]
) -> None:
    start(tmp_path, KEYS)
    for _ in range(2):  # as often as the container is restarted
        with pytest.raises(InvalidSettings, match=re.escape(f"delete {tmp_path / MARKER} to serve without keys")):
            start(tmp_path, then)
    (tmp_path / MARKER).unlink()
    start(tmp_path, then)


@pytest.mark.parametrize("given", [{}, ANYWHERE, KEYS])
def test_a_folder_that_cannot_be_read_ends_the_start(tmp_path: Path, given: dict[str, str]) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (("absent", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(InvalidSettings, match=rf"STRIATE_STATE=.*{folder}: {reason}; it must be a folder"):
            start(tmp_path / folder, given)


def test_a_note_that_cannot_be_written_ends_the_start() -> None:
    with pytest.raises(InvalidSettings, match=r"STRIATE_STATE=/proc: .*; the service must be able to write"):
        start("/proc", KEYS)


def test_a_note_is_kept_where_nothing_can_be_written_any_more(tmp_path: Path) -> None:
    start(tmp_path, KEYS)
    before = (tmp_path / MARKER).stat()
    start(tmp_path, KEYS)
    assert (tmp_path / MARKER).stat() == before


def test_without_a_state_folder_nothing_is_noted() -> None:
    start("", KEYS)
    start("", {})


@pytest.mark.slow
def test_the_service_remembers_its_keys(tmp_path: Path) -> None:
    tiny.brightness(tmp_path / "models")
    (tmp_path / "keys.toml").write_text(new_key("viewer", ["infer"])[1])
    (tmp_path / "state").mkdir()
    variables = {"STRIATE_MODELS": str(tmp_path / "models"), "STRIATE_STATE": str(tmp_path / "state")}
    with served(tmp_path / "log", STRIATE_KEYS=str(tmp_path / "keys.toml"), **variables) as (http, _):
        assert http.get("/models").status_code == 401
    opened = environment(STRIATE_WITHOUT_KEYS="anywhere", **variables)
    ended = subprocess.run(command(free_port()), cwd=ROOT, env=opened, capture_output=True, timeout=240, check=False)
    assert ended.returncode == 1
    assert b"striate: STRIATE_KEYS is empty, but this service has had API keys." in ended.stderr
    assert b"Traceback" not in ended.stderr
