"""SIGTERM while a request runs."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from tests.service.exposition import wait_for_line
from tests.service.faults.long_job import AS_SMALL_TILES, LONG
from tests.serving import served

pytestmark = pytest.mark.anyio


async def admitted(url: httpx.URL) -> bool:
    """Whether a new connection is answered."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=2) as late:
            return (await late.get("/livez")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
async def test_sigterm_lets_what_runs_end_and_nobody_in(root: Path, tmp_path: Path) -> None:
    """BentoML's parent keeps the socket until its worker has ended: who comes meanwhile waits, and is then cut off."""
    with served(tmp_path / "log", STRIATE_MODELS=str(root), **AS_SMALL_TILES) as (own, process):
        async with httpx.AsyncClient(base_url=own.base_url, timeout=240) as http:
            long = asyncio.create_task(http.post("/segment", files=LONG, data={"model": "blobs"}))
            ended: list[float] = []
            long.add_done_callback(lambda _: ended.append(time.perf_counter()))
            await wait_for_line(http, 'striate_queue_depth{model="blobs"} 1.0')
            process.terminate()
            async with asyncio.timeout(120):
                came = time.perf_counter()
                while await admitted(http.base_url):
                    await asyncio.sleep(0.01)
                    came = time.perf_counter()
            assert (await long).status_code == 200
            assert came < ended[0] - 0.2  # long before the end, and yet not let in
            assert await asyncio.to_thread(process.wait, 120) == 0
