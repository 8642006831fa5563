"""When /readyz says so."""

from pathlib import Path

import pytest

from service.scheduling.scheduler import Scheduler
from tests import tiny
from tests.conftest import Client

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("wanted", "status", "says"),
    [
        ((), 200, "ready"),  # something serves, and nobody said what must
        (("blobs",), 200, "ready"),
        (("brightness", "blobs"), 503, "'brightness'"),
        (("resnet",), 503, "'resnet'"),
    ],
)
async def test_ready_is_when_every_wanted_model_serves(
    serving: Client, tmp_path: Path, wanted: tuple[str, ...], status: int, says: str
) -> None:
    tiny.blobs(tmp_path)
    tiny.brightness(tmp_path).weights.write_bytes(b"")
    async with serving(models=tmp_path, wanted=wanted) as http:
        ready = await http.get("/readyz")
        assert (await http.get("/livez")).status_code == (await http.get("/healthz")).status_code == 200
    assert ready.status_code == status
    assert says in ready.text


async def test_nothing_to_serve_is_not_ready(serving: Client, tmp_path: Path) -> None:
    async with serving(models=tmp_path) as http:
        ready = await http.get("/readyz")
        models = (await http.get("/models")).json()
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert models == {"models": []}


async def test_ready_is_while_a_worker_can_take_an_image(serving: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as http:
        monkeypatch.setattr(Scheduler, "has_worker", False)
        ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert "No worker" in ready.json()["error"]
