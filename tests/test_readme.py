"""The README does what it says: its commands are run as they stand there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving import ROOT, served

pytestmark = pytest.mark.slow
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LINES = [line.partition("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]
CURLS = [line for line in LINES if line.startswith("curl ")]
TRAINING = [line for line in LINES if "training." in line]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The service on the starter packages."""
    with served(tmp_path_factory.mktemp("log") / "log") as (client, _):
        yield client


def test_every_line_is_a_command_that_a_test_runs() -> None:
    assert set(LINES) - {"make serve", "make test"} == {*CURLS, *TRAINING}
    assert CURLS
    assert TRAINING


@pytest.mark.parametrize("line", CURLS)
def test_curl(line: str, http: httpx.Client, tmp_path: Path) -> None:
    line = line.replace("http://127.0.0.1:3000", str(http.base_url).rstrip("/")).replace("image=@", f"image=@{ROOT}/")
    run = subprocess.run(
        f"{line} --fail --silent --show-error", shell=True, cwd=tmp_path, capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    pictures = list(tmp_path.glob("*.png"))
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert pictures or run.stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_training_lines(tmp_path: Path) -> None:
    """One after the other, in a folder of their own; what they make can be served."""
    for name in (".venv", "training", "models", "service"):
        (tmp_path / name).symlink_to(ROOT / name)
    for line in TRAINING:
        run = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, check=False)
        assert run.returncode == 0, run.stderr.decode()
    with served(tmp_path / "log", STRIATE_MODELS=str(tmp_path / "build/packages")) as (client, _):
        (model,) = client.get("/models").json()["models"]
        assert model["name"] == "digits"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_link_or_picture_is_there(target: str) -> None:
    assert (ROOT / target).exists()
