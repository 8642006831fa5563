"""Metrics as the service exposes them: their samples, and a wait until one is there."""

import asyncio

import httpx
from prometheus_client.parser import text_string_to_metric_families


def metric(exposition: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name with these labels."""
    families = text_string_to_metric_families(exposition)
    samples = (sample for family in families for sample in family.samples)
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


async def depth(http: httpx.AsyncClient, model: str) -> float:
    return metric((await http.get("/metrics")).text, "striate_queue_depth", model=model)


async def wait_for_line(http: httpx.AsyncClient, line: str) -> None:
    """Returns once the metrics have the line."""
    async with asyncio.timeout(120):
        while line not in (await http.get("/metrics")).text.splitlines():
            await asyncio.sleep(0.01)


def series_of(text: bytes) -> dict[str, float]:
    """Parses an exposition into the value of each series."""
    parts = (line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in parts}
