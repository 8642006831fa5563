"""Tests of latency while a version is loaded, verified and warmed up beside the served one."""

import logging
import shutil
import time
from pathlib import Path
from statistics import median

import httpx
import pytest

from tests.service.image_files import form
from tests.serving import ROOT, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
STARTER = ROOT / "models/starter/pneumonia/1.0.0"
BEFORE, SWAPS = 40, 3
MOST = 12.0  # two networks on two cores make 2; the machine may be shared


def add_version(root: Path, number: str) -> float:
    """Adds the starter classifier as another version, atomically; returns the time."""
    draft = shutil.copytree(STARTER, root / f".{number}")
    text = (draft / "rdf.yaml").read_text()
    (draft / "rdf.yaml").write_text(text.replace("\nversion: 1.0.0\n", f"\nversion: {number}\n"))
    draft.rename(root / number)
    return time.monotonic()


@pytest.mark.parametrize("front_ends", [1, 2])
def test_latency_during_a_swap_is_similar_to_before(tmp_path: Path, front_ends: int) -> None:
    root = tmp_path / "models/pneumonia"
    root.mkdir(parents=True)
    add_version(root, "1.0.0")
    image = (STARTER / "sample.png").read_bytes()

    def predict(http: httpx.Client) -> tuple[float, str]:
        """Returns the seconds taken and the version that answered."""
        begun = time.monotonic()
        got = http.post("/predict", files=form(image), timeout=60)
        assert got.status_code == 200, got.text
        return time.monotonic() - begun, got.json()["model"]["version"]

    variables = {"STRIATE_MODELS": str(root.parent), "STRIATE_FRONT_ENDS": str(front_ends), "STRIATE_DEVICE": "cpu"}
    with served(tmp_path / "log", **variables) as (http, _):
        before = [predict(http)[0] for _ in range(BEFORE)]
        during: list[list[float]] = []
        swap_s: list[float] = []
        for n in range(2, 2 + SWAPS):
            number, begun = f"{n}.0.0", add_version(root, f"{n}.0.0")
            during.append([])
            while (found := predict(http))[1] != number:
                during[-1].append(found[0])
            swap_s.append(time.monotonic() - begun)
    waited = [seconds for swap in during for seconds in swap]
    share = median(max(swap, default=0.0) / whole for swap, whole in zip(during, swap_s))
    report = (
        f"before: median {1e3 * median(before):.0f} ms, longest {1e3 * max(before):.0f}; during: median "
        f"{1e3 * median(waited):.0f} ms, longest {1e3 * max(waited):.0f}, of {len(waited)}; a swap {min(swap_s):.1f} s"
    )
    logging.getLogger(__name__).info(report)  # pytest --log-cli-level=info shows it
    assert len(waited) >= 5 * SWAPS, report
    assert median(waited) < MOST * median(before), report
    assert share < 0.5, report  # a request that waited for the loading would take about as long
