"""Tests of administration over HTTP: pins, rollbacks, canaries and unloading."""

import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.manage.__main__ import main
from service.repository.state import canary_bucket
from tests import tiny
from tests.conftest import Client
from tests.service.image_files import form, grey
from tests.service.repository.versions import LABELS, ask, call, states, write_three_versions, write_version
from tests.service.repository.versions import serving as serving_version

pytestmark = pytest.mark.anyio


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_three_versions(tmp_path)


async def test_pinning_and_rollback(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        assert await ask(http, 200) == ("3.0", "bright")
        loaded = await call(http, "load", {"parameters": {"version": "1.0"}})
        assert (loaded.status_code, loaded.json()["version"]) == (200, "1.0")
        assert await ask(http, 100) == ("1.0", "dark")
        assert (await call(http, "rollback")).json()["version"] == "3.0"
        assert await ask(http, 100) == ("3.0", "bright")
        assert (await call(http, "rollback")).json()["version"] == "1.0"  # back again
        assert (await call(http, "rollout")).json()["version"] == "3.0"  # an empty rollout: the newest


async def test_a_rollback_without_a_former_version_takes_the_next_older(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        assert (await call(http, "rollback")).json()["version"] == "2.0"


async def test_a_restart_keeps_the_rollout(serving: Client, models: Path) -> None:
    said = {"pinned": "1.0", "canary": {"version": "2.0", "percent": 25}, "shadow": "3.0"}
    wanted = {"1.0": ("ready", "serves"), "2.0": ("ready", "canary"), "3.0": ("ready", "shadow")}
    async with serving(models=models) as http:
        assert (await call(http, "rollout", said)).status_code == 200
        assert await states(http) == wanted
    async with serving(models=models) as http:
        assert await states(http) == wanted
    kept = json.loads((models / ".striate.json").read_text())["models"]["brightness"]
    assert {key: kept[key] for key in said} == said


IMPOSSIBLE: dict[str, tuple[str, dict[str, Any], str]] = {
    "no such version": ("load", {"parameters": {"version": "9"}}, "9 cannot serve: there is no such version"),
    "a refused one": ("load", {"parameters": {"version": "4.0"}}, "4.0 cannot serve: model.onnx has been changed"),
    "a refused canary": (
        "rollout",
        {"pinned": "3.0", "canary": {"version": "4.0", "percent": 5}},
        "4.0 cannot serve: model.onnx has",
    ),
    "a refused shadow": (
        "rollout",
        {"pinned": "3.0", "shadow": "4.0"},
        "4.0 cannot serve: model.onnx has been changed",
    ),
    "the version that serves": (
        "rollout",
        {"pinned": "3.0", "shadow": "3.0"},
        "3.0 cannot serve: it already answers requests",
    ),
    "canary and shadow": (
        "rollout",
        {"pinned": "3.0", "canary": {"version": "1.0", "percent": 5}, "shadow": "1.0"},
        "1.0 cannot serve: it already answers requests",
    ),
    "another task": ("rollout", {"shadow": "5.0", "pinned": "3.0"}, "5.0 cannot serve: its task is segmentation"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
async def test_an_impossible_change_is_reverted(serving: Client, models: Path, case: str) -> None:
    what, body, reason = IMPOSSIBLE[case]
    write_version(models, "4.0", like="1.0").weights.write_bytes(b"")
    async with serving(models=models) as http:
        await call(http, "rollout", {"pinned": "3.0"})
        tiny.blobs(models, name="brightness", version="5.0")
        refused = await call(http, what, body)
        assert (refused.status_code, refused.json()["code"]) == (409, "cannot_serve")
        assert reason in refused.json()["error"]
        assert await ask(http, 100) == ("3.0", "bright")
        roles = [role for _, role in (await states(http)).values() if role]
        assert roles == ["serves"]


@pytest.mark.parametrize(
    ("what", "name", "body", "status", "code"),
    [
        ("load", "resnet", {}, 404, "unknown_model"),
        ("load", "..", {}, 404, "no_such_route"),
        ("load", "brightness", {"parameters": {"version": "../1.0"}}, 422, "invalid_option"),
        ("load", "brightness", {"parameters": {"config": "{}"}}, 422, "invalid_option"),
        ("load", "brightness", {"parameters": {"file:1/model.onnx": "AAAA"}}, 422, "invalid_option"),
        ("rollout", "brightness", {"canary": {"version": "1.0", "percent": 101}}, 422, "invalid_option"),
        ("rollout", "brightness", {"canary": {"version": "1.0", "percent": 0}}, 422, "invalid_option"),
        ("rollback", "brightness", {"to": "1.0"}, 422, "invalid_option"),
    ],
)
async def test_a_malformed_request_is_rejected(
    serving: Client, root: Path, what: str, name: str, body: dict[str, Any], status: int, code: str
) -> None:
    async with serving() as http:
        refused = await call(http, what, body, name=name)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert not (root / ".striate.json").exists()


async def test_unload_and_load_follow_tritons_protocol(serving: Client, models: Path) -> None:
    tiny.blobs(models)
    async with serving(models=models) as http:
        unloaded = await call(http, "unload", {"parameters": {"unload_dependents": False}})
        assert (unloaded.status_code, unloaded.json()["status"]) == (200, "unloaded")
        refused = await http.post("/predict", files=form(grey(200)), data={"model": "brightness"})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert "the operator has unloaded it" in refused.json()["error"]
        index = (await http.post("/v2/repository/index", content=b"")).json()
        assert index[0] == {"name": "blobs", "version": "1.0", "state": "READY", "reason": ""}
        assert {(each["version"], each["state"]) for each in index[1:]} == {
            (number, "UNAVAILABLE") for number in LABELS
        }
        ready = (await http.post("/v2/repository/index", json={"ready": True})).json()
        assert [each["name"] for each in ready] == ["blobs"]
        assert (await call(http, "load")).status_code == 200
        assert await ask(http, 100) == ("3.0", "bright")


async def test_a_canary_answers_its_share_and_keeps_its_callers(serving: Client, models: Path) -> None:
    callers = [f"caller-{n}" for n in range(200)]
    async with serving(models=models) as http:
        await call(http, "rollout", {"pinned": "1.0", "canary": {"version": "3.0", "percent": 30}})
        answers = {caller: await ask(http, 100, caller=caller) for caller in callers}
        assert {caller: await ask(http, 100, caller=caller) for caller in callers[:40]}.items() <= answers.items()
    share = {caller for caller in callers if canary_bucket("brightness", caller) < 30}
    assert {caller for caller, (number, _) in answers.items() if number == "3.0"} == share
    assert all(label == LABELS[number][100] for number, label in answers.values())


async def test_concurrent_changes_lose_no_response(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:

        async def operate(n: int) -> int:
            what = ("unload", "load", "rollback", "load")[n % 4]
            body = {"parameters": {"version": f"{n % 3 + 1}.0"}} if n % 4 == 3 else {}
            return (await call(http, what, body)).status_code

        async def predict(n: int) -> tuple[int, str]:
            await asyncio.sleep(0.01 * n)
            got = await http.post("/predict", files=form(grey(100)), data={"model": "brightness"}, timeout=60)
            return got.status_code, got.json().get("code", "")

        operated, predicted = await asyncio.gather(
            asyncio.gather(*map(operate, range(12))), asyncio.gather(*map(predict, range(60)))
        )
        assert set(operated) <= {200, 409}  # 409: another call changed it again at the same moment
        assert set(predicted) <= {(200, ""), (503, "not_ready")}
        assert (await call(http, "load", {"parameters": {"version": "2.0"}})).status_code == 200
        assert await ask(http, 100) == ("2.0", "dark")
        assert await serving_version(http) == "2.0"


@contextmanager
def full_disk() -> Iterator[None]:
    """Prevents files of this process from growing, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_change_that_cannot_be_saved_is_not_applied(
    serving: Client, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRIATE_MODELS", str(models))
    async with serving(models=models) as http:
        await call(http, "rollout", {"pinned": "3.0"})
        kept = (models / ".striate.json").read_bytes()
        with full_disk():
            refused = await call(http, "load", {"parameters": {"version": "1.0"}})
            assert main(["promote", "brightness", "1.0"]) == 1
        assert "File too large" in capsys.readouterr().err
        assert (refused.status_code, refused.json()["code"]) == (409, "plans_not_writable")
        assert await ask(http, 100) == ("3.0", "bright")
    assert [file.read_bytes() for file in models.glob(".striate.json*")] == [kept]


async def test_an_invalid_file_is_reported_and_changes_nothing(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        await call(http, "load", {"parameters": {"version": "1.0"}})
        (models / ".striate.json").write_text('{"models": {"brightness": {"pined": "2.0"}}}')
        refused = await call(http, "load", {"parameters": {"version": "2.0"}})
        assert (refused.status_code, refused.json()["code"]) == (409, "bad_plans")
        assert "models.brightness.pined" in refused.json()["error"]
        assert await ask(http, 200) == ("1.0", "bright")
