"""Callers who ask without a pause while something happens to the service."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.service.image_files import form, grey

LABELS = {10: "dark", 240: "bright"}  # what tiny.brightness calls them


@dataclass
class Told:
    """right: answers as they should be. errors: codes of those in the one error shape. lost: without an answer."""

    right: int = 0
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@contextmanager
def callers(url: httpx.URL, *, count: int) -> Iterator[Told]:
    """So many of them, each with one request in flight at any time, until the block ends."""
    told, ended = Told(), threading.Event()
    threads = [threading.Thread(target=_ask, args=(url, told, ended, n)) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _ask(url: httpx.URL, told: Told, ended: threading.Event, n: int) -> None:
    value = (10, 240)[n % 2]
    with httpx.Client(base_url=url, timeout=240, verify=False) as http:
        while not ended.is_set():
            try:
                got = http.post("/predict", files=form(grey(value)), data={"model": "brightness"})
            except httpx.TransportError as error:
                told.lost.append(type(error).__name__)
                continue
            if got.status_code != 200:
                told.errors.append(got.json()["code"])
                time.sleep(0.1)
            elif got.json()["classes"][0]["label"] == LABELS[value]:
                told.right += 1
            else:
                told.wrong.append(got.text)
