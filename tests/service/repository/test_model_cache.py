"""Tests of the model cache: eviction of the least recently used, and loading on demand."""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest

from models.package import Package
from service.inference import Session, open_session
from service.scheduling.work import Deadline, Work
from tests import tiny
from tests.conftest import Client
from tests.service.engine.in_process_engine import engine, front_end, picture
from tests.service.engine.in_process_engine import until as until_now
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey
from tests.service.repository.versions import SessionTracker, ask, states, until, write_version

pytestmark = pytest.mark.anyio
NAMES = ("first", "second", "third")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in NAMES:
        tiny.brightness(tmp_path, name=name)
    return tmp_path


def bytes_of_two(models: Path) -> int:
    """Returns the bytes that hold two of the three models."""
    return 2 * (models / "first/1.0/model.onnx").stat().st_size


async def loaded(http: httpx.AsyncClient) -> set[str]:
    known = (await http.get("/models")).json()["models"]
    return {model["name"] for model in known if model["versions"][0]["state"] == "ready"}


async def answers(http: httpx.AsyncClient, name: str) -> bool:
    return (await http.post("/predict", files=form(grey(200)), data={"model": name})).status_code == 200


async def test_the_least_recently_used_model_is_evicted(serving: Client, models: Path) -> None:
    sessions = SessionTracker()
    async with serving(sessions, models=models, loaded_bytes=bytes_of_two(models)) as http:
        assert (await http.get("/readyz")).status_code == 200
        for name, stay in [
            ("first", {"first"}), ("second", {"first", "second"}), ("first", {"first", "second"}),
            ("third", {"first", "third"}), ("second", {"third", "second"}),
        ]:  # fmt: skip
            assert await ask(http, 200, name=name) == ("1.0", "bright")
            assert stay <= await loaded(http)
            assert len(await loaded(http)) <= 2
            assert sessions.alive_count() <= 2
        assert (await states(http, "first"))["1.0"] == ("unloaded", "serves")
        metrics = (await http.get("/metrics")).text
        one = bytes_of_two(models) // 2
        for name, state, nbytes in (("first", "unloaded", 0), ("second", "ready", one), ("third", "ready", one)):
            assert f'striate_model_state{{model="{name}",state="{state}",version="1.0"}} 1.0\n' in metrics
            assert f'striate_model_memory_bytes{{model="{name}",version="1.0"}} {nbytes}.0\n' in metrics


async def test_an_inline_run_counts_as_use(serving: Client, models: Path) -> None:
    large = form(grey(200, height=100, width=100))
    async with serving(models=models, loaded_bytes=bytes_of_two(models), worker_threads=2) as http:
        for name in ("first", "second", "first", "third"):
            answer = await http.post("/predict", files=large, data={"model": name})
            assert answer.json()["classes"][0]["label"] == "bright"
        assert await loaded(http) == {"first", "third"}
        metrics = (await http.get("/metrics")).text
    assert 'striate_queue_depth{model="first"} 0.0' in metrics


async def test_requests_for_more_models_than_fit_are_all_answered(serving: Client, models: Path) -> None:
    sessions = SessionTracker()
    async with serving(sessions, models=models, loaded_bytes=bytes_of_two(models)) as http:

        async def caller(n: int) -> None:
            for turn in range(4):
                assert await ask(http, 200, name=NAMES[(n + turn) % 3]) == ("1.0", "bright")
                assert sessions.alive_count() <= 3  # one may be about to be freed

        await asyncio.gather(*map(caller, range(8)))


async def test_a_model_larger_than_the_budget_is_invalid(serving: Client, tmp_path: Path) -> None:
    tiny.brightness(tmp_path)
    async with serving(models=tmp_path, loaded_bytes=10) as http:
        (model,) = (await http.get("/models")).json()["models"]
    assert model["status"] == "invalid"
    assert "STRIATE_LOADED_BYTES allows 10 in total" in model["reason"]


async def test_a_model_replaced_on_disk_cannot_be_reloaded(
    serving: Client, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_watch(*_: object) -> None: ...

    monkeypatch.setattr("service.repository.reconciler.watch", no_watch)
    async with serving(models=models, loaded_bytes=bytes_of_two(models), rescan_s=3600) as http:
        await ask(http, 200, name="second")
        await ask(http, 200, name="third")
        write_version(models, "1.0", like="2.0", name="first")  # unnoticed by the service
        refused = await http.post("/predict", files=form(grey(200)), data={"model": "first"})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert "first 1.0 has been replaced on disk" in refused.json()["error"]


async def test_a_run_that_does_not_end_keeps_its_own_memory_alone(
    serving: Client, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repository.model_cache.UNLOADING_S", 0.5)
    gate = Gate()

    def session(package: Package) -> Session:
        return gate.session(package) if package.spec.name == "third" else open_session(package.weights, device="cpu")

    async with serving(session, models=models, loaded_bytes=bytes_of_two(models), timeout_s=1) as http:
        try:
            await ask(http, 200, name="third")
            gate.shut()
            late = await http.post("/predict", files=form(grey(200)), data={"model": "third"})
            assert late.json()["code"] == "deadline_passed"
            shutil.rmtree(models / "third")
            write_version(models, "1.0", name="fourth")

            async def is_followed() -> bool:
                gone, found = [(await http.get(f"/models/{name}")).status_code for name in ("third", "fourth")]
                return (gone, found) == (404, 200)

            await until(is_followed)
            for name in ("first", "fourth", "second", "first"):
                assert await answers(http, name)
                assert await loaded(http) == {name}  # beside the run
        finally:
            gate.open()

        async def both_fit() -> bool:
            return all([await answers(http, name) for name in ("first", "second")]) and len(await loaded(http)) == 2

        await until(both_fit)


async def test_front_ends_know_the_models_loaded_by_the_engine(models: Path) -> None:
    async with engine(models, loaded_bytes=bytes_of_two(models)) as (path, _), front_end(path) as there:
        for name in ("second", "third", "first"):
            queue = there.served[name].batcher
            ran = await queue.submit(picture(0.8), ["probabilities"], Work(Deadline.after(120)))
            assert float(ran.outputs["probabilities"][0, 1]) > 0.5
        await until_now(lambda: [there.served[name].batcher.loaded for name in NAMES] == [True, False, True])
