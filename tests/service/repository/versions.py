"""Model versions with distinguishable answers, and helpers that call a service while its models change."""

import asyncio
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from models.package import Package
from service.inference import Session, open_session
from tests import tiny
from tests.service.image_files import form, grey

GAINS = {"1.0": 1 / 255, "2.0": 1 / 510, "3.0": 1 / 127.5}
# tiny.brightness labels an image bright if its mean times the version's gain is above 0.5.
LABELS = {"1.0": {100: "dark", 200: "bright"}, "2.0": {100: "dark", 200: "dark"}, "3.0": {100: "bright", 200: "bright"}}
INPUT = {"channels": 1, "size": (8, 8), "smallest_image": 4}


def write_version(root: Path, number: str, *, like: str = "", name: str = "brightness") -> Package:
    """Writes version `number` with the answers of LABELS[like or number], atomically."""
    steps = ({"id": "ensure_dtype"}, {"id": "scale_linear", "gain": GAINS[like or number]})
    return tiny.brightness(root, name=name, version=number, input={**INPUT, "steps": steps})


def write_three_versions(root: Path) -> Path:
    """Writes versions 1.0, 2.0 and 3.0; returns the folder."""
    for number in LABELS:
        write_version(root, number)
    return root


async def ask(http: httpx.AsyncClient, value: int, *, caller: str = "", name: str = "brightness") -> tuple[str, str]:
    """Returns the version that answered and its label; the status must be 200."""
    headers = {"X-Request-ID": caller} if caller else {}
    got = await http.post("/predict", files=form(grey(value)), data={"model": name}, headers=headers, timeout=60)
    assert got.status_code == 200, got.text
    return got.json()["model"]["version"], got.json()["classes"][0]["label"]


async def call(http: httpx.AsyncClient, what: str, body: dict[str, Any] | None = None, *, name: str = "brightness"):
    """Sends an administrative request."""
    return await http.post(f"/v2/repository/models/{name}/{what}", json=body or {}, timeout=60)


async def states(http: httpx.AsyncClient, name: str = "brightness") -> dict[str, tuple[str, str | None]]:
    """Returns the state and role of each version."""
    got = (await http.get(f"/models/{name}")).json()
    return {each["version"]: (each["state"], each["role"]) for each in got["versions"]}


async def serving(http: httpx.AsyncClient, name: str = "brightness") -> str:
    return (await http.get(f"/models/{name}")).json()["version"]


async def until(happened: Callable[[], Any], *, timeout_s: float = 120.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await happened():
            await asyncio.sleep(0.02)


async def wait_for_version(http: httpx.AsyncClient, number: str) -> None:
    async def happened() -> bool:
        return await serving(http) == number

    await until(happened)


class SessionTracker:
    """An opener that keeps weak references to the sessions that it has opened."""

    def __init__(self) -> None:
        self.sessions: list[Any] = []

    def __call__(self, package: Package) -> Session:
        session = open_session(package.weights, device="cpu", threads=1)
        self.sessions.append(weakref.ref(session))
        return session

    def alive_count(self) -> int:
        return sum(reference() is not None for reference in self.sessions)


def check_answers(answers: Sequence[tuple[str, str, int]]) -> set[str]:
    """Checks each (version, label, value) against that version's answers; returns the versions."""
    for number, label, value in answers:
        assert LABELS[number][value] == label
    return {number for number, _, _ in answers}
