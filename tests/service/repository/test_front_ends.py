"""Tests of several front ends: each follows changes of the models, and no running request is lost."""

import asyncio
from pathlib import Path

import httpx
import pytest

from service.manage.__main__ import main
from tests.conftest import Client
from tests.service.gated_sessions import Gate
from tests.service.repository.front_ends import two_front_ends
from tests.service.repository.versions import (
    LABELS,
    SessionTracker,
    ask,
    call,
    check_answers,
    states,
    until,
    wait_for_version,
    write_version,
)

pytestmark = pytest.mark.anyio


async def test_a_new_version_reaches_every_front_end_and_the_old_one_is_freed(serving: Client, tmp_path: Path) -> None:
    write_version(tmp_path, "1.0")
    sessions, answers, stop = SessionTracker(), [], asyncio.Event()

    async def caller(http: httpx.AsyncClient) -> None:
        while not stop.is_set():
            for value in (100, 200):
                answers.append((*await ask(http, value), value))

    async with two_front_ends(serving, tmp_path, sessions) as both, asyncio.TaskGroup() as callers:
        for n in range(8):
            callers.create_task(caller(both[n % 2]))
        await until(lambda: asyncio.sleep(0, len(answers) > 16))
        write_version(tmp_path, "2.0")
        for http in both:
            await wait_for_version(http, "2.0")
        await until(lambda: asyncio.sleep(0, sessions.alive_count() == 1))
        before = len(answers)
        await until(lambda: asyncio.sleep(0, len(answers) > before + 32))
        stop.set()
    assert check_answers(answers) == {"1.0", "2.0"}
    assert {number for number, _, _ in answers[before + 8 :]} == {"2.0"}


async def test_a_running_request_ends_with_the_version_it_began_with(serving: Client, tmp_path: Path) -> None:
    write_version(tmp_path, "1.0")
    gate, tracker = Gate(), SessionTracker()

    def session(package):
        return tracker(package) if package.spec.version == "2.0" else gate.session(package)

    async with two_front_ends(serving, tmp_path, session) as (one, other):
        gate.shut()
        running = asyncio.create_task(ask(one, 200))
        await until(lambda: asyncio.sleep(0, gate.runs[-1:] == [1]))
        write_version(tmp_path, "2.0")
        for http in (one, other):
            await wait_for_version(http, "2.0")
            assert await ask(http, 200) == ("2.0", "dark")
        assert not running.done()
        gate.open()
        assert await running == ("1.0", "bright")


async def test_an_administrative_change_applies_to_all_front_ends(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_MODELS", str(tmp_path))
    for number in ("1.0", "2.0", "3.0"):
        write_version(tmp_path, number)
    async with two_front_ends(serving, tmp_path, None) as (one, other):
        rollout = {"pinned": "1.0", "canary": {"version": "2.0", "percent": 50}, "shadow": "3.0"}
        assert (await call(one, "rollout", rollout)).status_code == 200

        async def known() -> bool:
            return await states(other) == await states(one)

        await until(known)
        assert [role for _, role in (await states(other)).values()] == ["shadow", "canary", "serves"]
        for n in range(20):  # a caller gets the same version from either front end
            assert await ask(one, 200, caller=str(n)) == await ask(other, 200, caller=str(n))
        refused = await call(other, "load", {"parameters": {"version": "9"}})
        assert (refused.status_code, refused.json()["code"]) == (409, "cannot_serve")
        assert (await call(other, "rollback")).json()["version"] == "3.0"
        await wait_for_version(one, "3.0")
        assert (await ask(one, 100))[1] in {LABELS["3.0"][100], LABELS["2.0"][100]}
        for arguments, serves in ((["promote", "brightness", "2.0"], "2.0"), (["rollback", "brightness"], "3.0")):
            assert main(arguments) == 0  # changes the folder, not over HTTP
            for http in (one, other):
                await wait_for_version(http, serves)


async def test_statistics_continue_for_an_unchanged_version(serving: Client, tmp_path: Path) -> None:
    write_version(tmp_path, "1.0", name="first")
    write_version(tmp_path, "1.0", name="second")
    async with two_front_ends(serving, tmp_path, None) as (http, _):
        for _ in range(5):
            await ask(http, 100, name="first")
        write_version(tmp_path, "2.0", name="second")

        async def happened() -> bool:
            return (await http.get("/models/second")).json()["version"] == "2.0"

        await until(happened)
        await ask(http, 100, name="first")
        (stats,) = (await http.get("/v2/models/first/stats")).json()["model_stats"]
    assert stats["inference_count"] == 6


async def test_every_front_end_reports_the_statistics_of_all(serving: Client, tmp_path: Path) -> None:
    for number in ("1.0", "2.0", "3.0"):
        write_version(tmp_path, number)
    stats = "/v2/models/brightness/versions/3.0/stats"
    async with two_front_ends(serving, tmp_path, None) as both:
        assert (await call(both[0], "rollout", {"pinned": "3.0", "shadow": "2.0"})).status_code == 200

        async def shadowed() -> bool:
            return all([(await states(http)).get("2.0") == ("ready", "shadow") for http in both])

        await until(shadowed)
        for http in (both[0], both[0], both[1]):
            await ask(http, 100)  # bright by 3.0, dark by 2.0

        async def counted() -> bool:
            """Returns whether both report all requests: each writes every 2 s, and the shadow runs last."""
            answers = [(await http.get(url)).json() for http in both for url in (stats, "/models/brightness")]
            compared = [each["comparison"] for each in answers[1]["versions"] if each["comparison"]]
            return (
                answers[:2] == answers[2:]
                and answers[0]["model_stats"][0]["inference_count"] == 3
                and compared == [{"compared": 3, "differed": 3, "failed": 0, "left_out": 0}]
            )

        await until(counted)
        every = [(await http.get("/v2/models/stats")).json()["model_stats"] for http in both]
    assert every[0] == every[1]
    assert sum(each["batch_size"] * each["compute_infer"]["count"] for each in every[0][0]["batch_stats"]) == 3
