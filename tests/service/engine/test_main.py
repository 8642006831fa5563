"""Tests of the engine process: it serves front ends until the process that started it has ended."""

import asyncio
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from service.engine.channel import connect
from tests.serving import ROOT, environment


async def models_of(path: Path) -> set[str]:
    """Connects to an engine as a front end does, and returns the names of its models."""
    catalogue, connection = await connect(path)
    connection.close()
    return {entry.spec.name for entry in catalogue.entries}


def test_an_engine_ignores_sigterm_and_ends_with_its_parent_and_its_folder(root: Path, tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="striate-"))  # a socket's path must be short, and tmp_path is not
    variables = environment(STRIATE_MODELS=str(root), STRIATE_DEVICE="cpu")
    with socket.socket(socket.AF_UNIX) as listener, (tmp_path / "log").open("wb") as log:
        listener.bind(str(folder / "engine"))
        listener.listen()
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "service.engine", str(descriptor), str(folder)]
        engine = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=log, cwd=ROOT, env=variables, pass_fds=[descriptor]
        )
        with engine:  # whose exit closes the standard input, as the end of a parent does
            assert asyncio.run(models_of(folder / "engine")) == {"brightness", "blobs", "tissue"}
            engine.send_signal(signal.SIGTERM)
            assert asyncio.run(models_of(folder / "engine")) == {"brightness", "blobs", "tissue"}
            assert engine.poll() is None
    assert engine.returncode == 0, (tmp_path / "log").read_text()
    assert not folder.exists()
