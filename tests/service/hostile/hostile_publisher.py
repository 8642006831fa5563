"""Publisher of packages: harmful ones of every kind one after another, and now and then a sound new version."""

import itertools
import random
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.service.repository.hostile_packages import CASES, ENDLESS, write_hostile
from tests.service.repository.versions import write_version

SOUND = "brightness"
EACH = 4  # this one of so many is sound
SHARE_OF_ENDLESS = 0.2
KEPT_HARMFUL, KEPT_SOUND = 6, 2  # in the folder; an operator takes the older ones away
PATIENCE_S = 120


@dataclass
class Published:
    """taken_in_s: until each sound version served. missing: the versions that did not."""

    harmful: int = 0
    taken_in_s: list[float] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@contextmanager
def publishing(http: httpx.Client, models: Path, *, period_s: float) -> Iterator[Published]:
    """Puts a package into the folder each period, until the block ends."""
    published, ended = Published(), threading.Event()
    thread = threading.Thread(target=_publish, args=(http, models, period_s, published, ended), daemon=True)
    thread.start()
    try:
        yield published
    finally:
        ended.set()
        thread.join()


def _publish(http: httpx.Client, models: Path, period_s: float, published: Published, ended: threading.Event) -> None:
    chance, harmful, sound = random.Random(0), deque[Path](), deque[Path]()
    damages = [damage for damage, _ in CASES.values()]
    for n in itertools.count(1):
        if ended.wait(period_s):
            return
        if n % EACH == 0:
            write_version(models, f"{n}.0", like="1.0", name=SOUND)
            sound.append(models / SOUND / f"{n}.0")
            _wait_for(http, f"{n}.0", published)
        else:
            name = chance.choice([SOUND, f"hostile-{n}"])
            damage = ENDLESS if chance.random() < SHARE_OF_ENDLESS else chance.choice(damages)
            write_hostile(models, name, f"{n}.1", damage)
            harmful.append(models / name / f"{n}.1")
            published.harmful += 1
        for folders, kept in ((harmful, KEPT_HARMFUL), (sound, KEPT_SOUND)):
            if len(folders) > kept:
                shutil.rmtree(folders.popleft())


def _wait_for(http: httpx.Client, version: str, published: Published) -> None:
    """Waits until a sound version serves."""
    started = time.monotonic()
    while http.get(f"{http.base_url}/models/{SOUND}").json()["version"] != version:
        if time.monotonic() > started + PATIENCE_S:
            published.missing.append(version)
            return
        time.sleep(0.2)
    published.taken_in_s.append(time.monotonic() - started)
