"""Property of the repository: whatever a package's folder holds, the others serve, and the next good one is served."""

import shutil
from pathlib import Path

import httpx
import pytest

from tests import tiny
from tests.conftest import Client
from tests.service.image_files import form, grey
from tests.service.repository.package_mutations import mutate
from tests.service.repository.versions import ask, until, wait_for_version, write_version

pytestmark = pytest.mark.anyio
TOGETHER = 25


def put_mutated(models: Path, seed: int) -> None:
    workshop = models.parent / "workshop"
    write = (tiny.brightness, tiny.blobs, tiny.tissue)[seed % 3]
    folder = write(workshop, name=f"case-{seed}").folder
    mutate(seed, folder)
    folder.parent.rename(models / folder.parent.name)


async def judged(http: httpx.AsyncClient) -> dict[str, str]:
    """The status of each model but the good one. Meanwhile the good one answers."""
    assert (await ask(http, 200))[1] == "bright"
    got = await http.get("/models")
    assert got.status_code == 200
    return {model["name"]: model["status"] for model in got.json()["models"] if model["name"] != "brightness"}


async def serve_beside(http: httpx.AsyncClient, models: Path, seeds: range) -> None:
    """Puts packages into the repository, waits until each is judged, uses those that serve, and removes them."""
    for seed in seeds:
        put_mutated(models, seed)
    write_version(models, "1.0", name="beacon")  # written last, and so seen with the others

    async def are_judged() -> bool:
        statuses = await judged(http)
        return "beacon" in statuses and not any(
            "still being proved" in (model["reason"] or "") for model in (await http.get("/models")).json()["models"]
        )

    await until(are_judged)
    for name, status in (await judged(http)).items():
        if status == "ready":
            for route in ("/predict", "/segment"):
                got = await http.post(route, files=form(grey(100)), data={"model": name}, timeout=60)
                assert got.status_code != 500, (name, got.text)
    assert (await http.get("/readyz")).status_code == (await http.get("/metrics")).status_code == 200
    for folder in models.iterdir():
        if folder.name != "brightness":
            shutil.rmtree(folder)

    async def are_gone() -> bool:
        return not await judged(http)

    await until(are_gone)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(100, marks=pytest.mark.slow),
        pytest.param(2000, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
async def test_the_good_model_serves_throughout(serving: Client, tmp_path: Path, count: int) -> None:
    models = tmp_path / "models"
    write_version(models, "1.0")
    async with serving(models=models, proof_timeout_s=20, timeout_s=10) as http:
        for begin in range(0, count, TOGETHER):
            await serve_beside(http, models, range(begin, begin + TOGETHER))
        write_version(models, "3.0")
        await wait_for_version(http, "3.0")
