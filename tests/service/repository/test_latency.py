"""What callers wait while a version is loaded, proved and warmed beside the one that answers them."""

import logging
import shutil
import time
from pathlib import Path
from statistics import median

import httpx
import pytest

from tests.service.image_files import form
from tests.service.test_main import ROOT, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
STARTER = ROOT / "models/starter/pneumonia/1.0.0"
BEFORE, SWAPS = 40, 3
MOST = 12.0  # two networks at work on two cores make 2; the machine may be another's too, and that for a while


def brought(root: Path, number: str) -> float:
    """Puts the starter's classifier there as another version, in one step; when that was."""
    draft = shutil.copytree(STARTER, root / f".{number}")
    text = (draft / "rdf.yaml").read_text()
    (draft / "rdf.yaml").write_text(text.replace("\nversion: 1.0.0\n", f"\nversion: {number}\n"))
    draft.rename(root / number)
    return time.monotonic()


@pytest.mark.parametrize("front_ends", [1, 2])
def test_a_request_during_a_swap_waits_about_as_long_as_before(tmp_path: Path, front_ends: int) -> None:
    root = tmp_path / "models/pneumonia"
    root.mkdir(parents=True)
    brought(root, "1.0.0")
    image = (STARTER / "sample.png").read_bytes()

    def asked(http: httpx.Client) -> tuple[float, str]:
        """Seconds and the version that answered."""
        begun = time.monotonic()
        got = http.post("/predict", files=form(image), timeout=60)
        assert got.status_code == 200, got.text
        return time.monotonic() - begun, got.json()["model"]["version"]

    variables = {"STRIATE_MODELS": str(root.parent), "STRIATE_FRONT_ENDS": str(front_ends), "STRIATE_DEVICE": "cpu"}
    with served(tmp_path / "log", **variables) as (http, _):
        before = [asked(http)[0] for _ in range(BEFORE)]
        during: list[list[float]] = []
        lasted: list[float] = []
        for n in range(2, 2 + SWAPS):
            number, begun = f"{n}.0.0", brought(root, f"{n}.0.0")
            during.append([])
            while (found := asked(http))[1] != number:
                during[-1].append(found[0])
            lasted.append(time.monotonic() - begun)
    waited = [seconds for swap in during for seconds in swap]
    share = median(max(swap, default=0.0) / whole for swap, whole in zip(during, lasted))
    told = (
        f"before: median {1e3 * median(before):.0f} ms, longest {1e3 * max(before):.0f}; during: median "
        f"{1e3 * median(waited):.0f} ms, longest {1e3 * max(waited):.0f}, of {len(waited)}; a swap {min(lasted):.1f} s"
    )
    logging.getLogger(__name__).info(told)  # pytest --log-cli-level=info shows it
    assert len(waited) >= 5 * SWAPS, told
    assert median(waited) < MOST * median(before), told
    assert share < 0.5, told  # who waits for the loading waits about as long as it takes, in every swap
