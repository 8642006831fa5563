"""A disk that is full or read-only, under the folder of models and under the audit log of a real service.

Both are small file systems of the service's own mount namespace; /proc/<its id>/root leads into them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.security.audit_verification import verify
from tests import tiny
from tests.service.image_files import form, grey
from tests.serving import ROOT, environment, served

MOUNT = "mount -t tmpfs -o size=512k striate {models} && mount -t tmpfs -o size=64k striate {audit}"


def permitted() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"]).returncode == 0


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not permitted(), reason="may not mount file systems of its own")]


@dataclass
class Disks:
    """A service, and its two file systems as this process sees them."""

    http: httpx.Client
    pid: int
    models: Path
    audit: Path

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command that sees the service's file systems at their own places."""
        entered = ["nsenter", "-t", str(self.pid), "-m", f"--wd={ROOT}", *command]
        variables = environment(STRIATE_MODELS=os.sep + str(self.models.relative_to(f"/proc/{self.pid}/root")))
        return subprocess.run(entered, env=variables, capture_output=True, text=True, timeout=240)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.inside(sys.executable, "-m", "service.manage", *arguments)

    def status(self) -> int:
        return self.http.post("/predict", files=form(grey(204)), data={"model": "brightness"}).status_code

    def pin(self) -> httpx.Response:
        return self.http.post("/v2/repository/models/brightness/rollout", json={"pinned": "1.0"}, timeout=60)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    folder = tmp_path_factory.mktemp("disks")
    models, audit = folder / "models", folder / "audit"
    models.mkdir()
    audit.mkdir()
    for version in ("1.0", "2.0"):
        tiny.brightness(folder / "source", version=version)
    prepare = f"{MOUNT.format(models=models, audit=audit)} && cp -r {folder}/source/. {models}"
    within = ["unshare", "-m", "sh", "-c", f'{prepare} && exec "$@"', "sh"]
    variables = {"STRIATE_MODELS": str(models), "STRIATE_AUDIT": str(audit / "log")}
    with served(folder / "log", within=within, **variables) as (http, process):
        seen = Path(f"/proc/{process.pid}/root")
        yield Disks(http, process.pid, seen / models.relative_to("/"), seen / audit.relative_to("/"))


def fill(folder: Path) -> Path:
    """Takes every byte that is left."""
    file = folder / ".fill"
    with suppress(OSError), file.open("wb", buffering=0) as full:
        while True:
            full.write(bytes(1024))
    return file


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".fill")


def test_a_folder_of_models_that_is_full_or_read_only_changes_nothing(disks: Disks, tmp_path: Path) -> None:
    before, source = tree(disks.models), str(tiny.blobs(tmp_path / "elsewhere").folder)

    def refuses(reason: str) -> None:
        answer = disks.pin()
        assert (answer.status_code, answer.json()["code"]) == (409, "plans_not_writable")
        assert reason in answer.json()["error"]
        for command in (("promote", "brightness", "1.0"), ("import", source)):
            ended = disks.manage(*command)
            assert ended.returncode == 1
            assert ended.stderr.startswith("striate: ")
            assert reason in ended.stderr
            assert "Traceback" not in ended.stderr
        assert tree(disks.models) == before
        assert disks.status() == 200

    filled = fill(disks.models)
    refuses("No space left on device")
    filled.unlink()
    models = os.sep + str(disks.models.relative_to(f"/proc/{disks.pid}/root"))
    assert disks.inside("mount", "-o", "remount,ro", models).returncode == 0
    refuses("Read-only file system")
    assert disks.inside("mount", "-o", "remount,rw", models).returncode == 0
    assert disks.pin().status_code == 200
    assert disks.manage("import", source).returncode == 0


def test_an_audit_log_on_a_full_disk_withholds_answers_until_there_is_room(disks: Disks) -> None:
    assert disks.status() == 200
    lines = verify(disks.audit / "log").number
    filled = fill(disks.audit)
    refused = [disks.status() for _ in range(40)]  # the last block of the log may still take some
    assert set(refused) <= {200, 503}
    assert refused[-1] == 503
    assert disks.http.get("/models").status_code == 200
    filled.unlink()
    assert disks.status() == 200
    assert verify(disks.audit / "log").number == lines + refused.count(200) + 1
