"""Containers of the image for tests, started with the same rights as in compose."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service import __version__

IMAGE = f"striate:{__version__}"
HARDENED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pids-limit=512",
    "--memory=3g",
    "--cpus=2",
    "--tmpfs=/tmp:size=64m,mode=1777,noexec,nosuid,nodev",
)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def until(happened: Callable[[], bool], *, timeout_s: float = 180.0) -> None:
    end = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.2)


class Container:
    """A container of the image with an HTTP client. secrets: a folder to mount at /run/secrets."""

    def __init__(self, *, secrets: Path | None, **settings: str) -> None:
        options = [f"--env={name}={value}" for name, value in settings.items()]
        options += [f"--volume={secrets}:/run/secrets:ro"] if secrets else []
        self.id = docker("run", "--detach", "--publish=127.0.0.1::3000", *HARDENED, *options, IMAGE)
        address = docker("port", self.id, "3000").splitlines()[0]
        self.http = httpx.Client(base_url=f"http://{address}", timeout=120)

    def status(self, path: str) -> int:
        """Returns the status over a new connection, or 0 without an answer."""
        try:
            return httpx.get(self.http.base_url.join(path), timeout=10).status_code
        except httpx.TransportError:
            return 0

    def does(self, script: str) -> str:
        return docker("exec", self.id, "sh", "-c", script)

    def processes(self, module: str) -> list[str]:
        """Returns the ids of the processes that run a module. The image has no ps; [m] excludes the shell itself."""
        runs = f"tr '\\0' ' ' < $p/cmdline | grep -q -- '-[m] {module} '"
        return self.does(f"for p in /proc/[0-9]*; do {runs} && basename $p; done; true").split()

    def state(self) -> dict[str, object]:
        (state,) = json.loads(docker("inspect", self.id))
        return dict(state["State"])

    def health(self) -> str:
        return docker("inspect", "--format={{.State.Health.Status}}", self.id)

    def log(self) -> list[str]:
        done = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True, timeout=60, check=True)
        return (done.stdout + done.stderr).splitlines()

    def metric(self, series: str) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{series} ")), 0.0)


@contextmanager
def running(secrets: Path | None = None, **settings: str) -> Iterator[Container]:
    """Runs a ready container for the block; pytest shows its output if the block fails."""
    container = Container(secrets=secrets, **{"STRIATE_WITHOUT_KEYS": "anywhere", **settings})
    try:
        until(lambda: container.status("/readyz") == 200 or not container.state()["Running"])
        assert container.state()["Running"]
        yield container
    finally:
        subprocess.run(["docker", "logs", container.id], check=False)
        container.http.close()
        docker("rm", "--force", "--volumes", container.id)
