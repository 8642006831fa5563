"""Tests of background telemetry: process resources, event loop lag and several processes."""

import asyncio
import time
from pathlib import Path

import pytest

from service.settings import Settings
from service.telemetry.background_tasks import ENGINE_PROCESS, background_telemetry
from service.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


async def test_a_process_reports_memory_files_and_event_loop_lag(tmp_path: Path) -> None:
    metrics = Metrics()
    async with background_telemetry(Settings(device="cpu"), metrics):
        before = value(metrics, 'striate_process_open_fds{process="service"}')
        with (tmp_path / "open").open("w"):
            assert value(metrics, 'striate_process_open_fds{process="service"}') == before + 1
        await asyncio.sleep(0)
        time.sleep(0.8)  # holds up the event loop, whose timer is due after half a second
        async with asyncio.timeout(60):
            while not value(metrics, "striate_event_loop_lag_seconds_count"):
                await asyncio.sleep(0.01)
    assert value(metrics, "striate_event_loop_lag_seconds_sum") >= 0.29
    assert value(metrics, 'striate_event_loop_lag_seconds_bucket{le="0.25"}') == 0
    assert value(metrics, 'striate_process_max_fds{process="service"}') > before
    assert 10e6 < value(metrics, 'striate_process_resident_memory_bytes{process="service"}') < 100e9


async def test_processes_that_share_a_folder_report_each_other(tmp_path: Path) -> None:
    front_end, engine = Metrics(), Metrics()
    async with (
        background_telemetry(Settings(device="cpu"), front_end, process="front_end_1", folder=tmp_path),
        background_telemetry(Settings(device="cpu"), engine, process=ENGINE_PROCESS, folder=tmp_path),
    ):
        async with asyncio.timeout(60):
            while b'process="engine"' not in (exposition := front_end.scrape()):
                await asyncio.sleep(0.05)
    assert b'striate_process_open_fds{process="front_end_1"}' in exposition


def value(metrics: Metrics, series: str) -> float:
    line = next(line for line in metrics.exposition().decode().splitlines() if line.startswith(f"{series} "))
    return float(line.rpartition(" ")[2])
