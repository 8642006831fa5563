"""The Predictor's answers are HTTP's, bit for bit."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from models.errors import DamagedImage, UnsupportedImage
from models.image import Array
from service.encode.png_writer import png
from service.errors import UnknownLabel
from service.predictor import Predictor
from service.repository.errors import WrongTask
from tests.conftest import Client
from tests.service.image_files import form

ROOT = Path(__file__).parents[2]
README = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
pytestmark = pytest.mark.anyio
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


async def test_a_classifiers_answers(serving: Client, root: Path, tmp_path: Path) -> None:
    async with serving() as http:
        sent = {"files": form(png(IMAGE)), "data": {"model": "brightness"}}
        predicted = (await http.post("/predict", **sent)).json()
        sent["data"] |= {"format": "raw", "label": "dark"}
        raw = (await http.post("/cam", **sent)).content
        sent["data"] |= {"method": "occlusion"}
        occluded = (await http.post("/cam", **sent)).content
    path = tmp_path / "scan.png"
    path.write_bytes(png(IMAGE))
    with Predictor.load(root / "brightness" / "1.0", device="cpu") as predictor:
        for image in (IMAGE, png(IMAGE), path, str(path)):
            answer = predictor(image)
            assert [each.model_dump() for each in answer.classes] == predicted["classes"]
            assert set(answer.probabilities.tolist()) == {each["probability"] for each in predicted["classes"]}
            assert [warning.model_dump() for warning in answer.warnings] == predicted["warnings"]
            assert (answer.cam("dark") == np.load(io.BytesIO(raw))).all()
            assert (answer.cam("dark", method="occlusion") == np.load(io.BytesIO(occluded))).all()
        with pytest.raises(UnknownLabel):
            answer.cam("grey")
        with pytest.raises(WrongTask):
            _ = answer.mask


@pytest.mark.parametrize("model", ["blobs", "tissue"])
async def test_a_segmenters_answers(serving: Client, root: Path, model: str) -> None:
    async with serving() as http:

        async def ask(format: str) -> bytes:
            data = {"model": model, "format": format}
            return (await http.post("/segment", files=form(png(IMAGE)), data=data)).content

        labels = np.asarray(PIL.Image.open(io.BytesIO(await ask("labels"))))
        probabilities = np.load(io.BytesIO(await ask("probabilities")))
        measured = json.loads(await ask("measurements"))
    with Predictor.load(root / model / "1.0", device="cpu") as predictor:
        answer = predictor(IMAGE)
        assert (answer.mask == labels).all()
        assert (answer.probabilities == probabilities).all()
        assert list(answer.objects) == measured["objects"]
        with pytest.raises(WrongTask):
            answer.cam()


@pytest.mark.parametrize(
    ("image", "error"),
    [(np.zeros((2, 3, 4, 5)), UnsupportedImage), (np.array("text"), UnsupportedImage), (png(IMAGE)[:60], DamagedImage)],
)
async def test_bad_images(root: Path, image: Array | bytes, error: type[Exception]) -> None:
    with Predictor.load(root / "brightness" / "1.0", device="cpu") as predictor, pytest.raises(error):
        predictor(image)


@pytest.mark.parametrize("block", README)
def test_the_readmes_lines(block: str) -> None:
    run = subprocess.run([sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+ \(256, 256\) [01]\.\d+\n", run.stdout)
