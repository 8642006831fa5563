"""CONTRIBUTING.md's rows of tasks and warnings: each change made in a copy, where the files of its row are enough."""

from pathlib import Path

import pytest

from tests.contributing.changed_copy import ChangedCopy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ANSWERED = """
import asyncio, httpx, tempfile
from pathlib import Path
from service.http.application import create_app
from service.settings import Settings
from tests import tiny
from tests.service.image_files import form, grey

async def post(path, data=None):
    root = Path(tempfile.mkdtemp())
    tiny.brightness(root)
    tiny.blobs(root)
    loaded = asyncio.Event()
    app = create_app(Settings(models=root, device="cpu"), on_ready=lambda _: loaded.set())
    async with app.router.lifespan_context(app):
        await loaded.wait()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://striate") as http:
            answer = await http.post(path, files=form(grey(204)), data=data)
            document = (await http.get("/docs.json")).json()
            return answer, document["paths"][path]["post"]
"""  # one image is answered by two tiny models


ENTROPY = '''"""Entropy of a classifier's probabilities."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from models.image import Array
from models.source import Image
from models.spec import ModelSpec, TaskKind
from service.api.answers import Answer, WireModel
from service.tasks.task import Document, Outputs, Separate, Task


class EntropyOptions(WireModel):
    """/entropy."""

    base: float = Field(2, gt=1, description="Of the logarithm.")


class EntropyAnswer(Answer):
    """/entropy."""

    entropy: float


class Entropy(Task[EntropyOptions, float]):
    """How undecided a classifier is."""

    name = "entropy"
    summary = "How undecided the classifier is."
    kind: ClassVar[TaskKind] = "classification"
    options = EntropyOptions
    schemas = (EntropyAnswer,)

    def outputs(self, options: EntropyOptions, spec: ModelSpec) -> tuple[str, ...]:
        return ()

    def pixels(self, options: EntropyOptions, image: Image) -> float:
        return 0

    def interpret(
        self, outputs: Outputs, image: Image, options: EntropyOptions, spec: ModelSpec, separate: Separate
    ) -> float:
        probabilities: Array = outputs[spec.names["probabilities"]]
        return float(-(probabilities * np.log(probabilities + 1e-9)).sum() / np.log(options.base))

    def encode(self, findings: float, image: Image, options: EntropyOptions, spec: ModelSpec) -> Document:
        return Document(EntropyAnswer, {"entropy": findings})
'''


def test_a_task(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="a task")
    change.add("service/tasks/entropy.py", ENTROPY)
    change.edit(
        "service/tasks/__init__.py",
        (
            "from service.tasks.segmentation ",
            "from service.tasks.entropy import Entropy\nfrom service.tasks.segmentation ",
        ),
        ("Activations())", "Activations(), Entropy())"),
    )
    change.edit("docs/api.md", ("## Warnings", "## `POST /entropy`\n\nHow undecided the classifier is.\n\n## Warnings"))
    told = change.run(
        ANSWERED
        + """
answer, operation = asyncio.run(post("/entropy", {"base": "3"}))
print(answer.status_code, 0 < answer.json()["entropy"] < 1, answer.json()["model"]["name"])
print(sorted(operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]))
"""
    )
    assert told.splitlines() == ["200 True brightness", "['base', 'image', 'model']"]
    change.passes("tests/service/http/test_openapi.py", "tests/service/http/test_api_docs.py")
    assert change.code == 2


def test_an_output_encoding(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="an output encoding")
    change.add(
        "service/encode/text.py",
        '''"""Text encoder: a number a pixel, a line a row."""

from models.image import Array


def text(array: Array) -> bytes:
    """Encodes (H, W) integers."""
    return "\\n".join(" ".join(map(str, row)) for row in array.tolist()).encode()
''',
    )
    change.edit(
        "service/tasks/segmentation.py",
        (
            "from service.encode.npy import npy\n",
            "from service.encode.npy import npy\nfrom service.encode.text import text\n",
        ),
        (
            "FORMATS: dict",
            """def as_text(mask: Mask, image: Image, options: "SegmentOptions") -> Written:
    return text(label_image(mask)), {}


FORMATS: dict""",
        ),
        ('    "overlay": (', '    "text": ("text/plain", as_text),\n    "overlay": ('),
        (".npy (`masks`", "text (`text`), .npy (`masks`"),
    )
    change.edit("docs/api.md", (".npy (`masks`", "text (`text`), .npy (`masks`"))
    change.edit(
        "service/http/workbench/static/segmentation.js",
        ('["overlay", "Overlay", "png"]', '["text", "Text", "txt"], ["overlay", "Overlay", "png"]'),
    )
    told = change.run(
        ANSWERED
        + """
answer, operation = asyncio.run(post("/segment", {"format": "text"}))
print(answer.status_code, answer.headers["Content-Type"], set(answer.text.split()) <= set("0123456789"))
print("text/plain" in operation["responses"]["200"]["content"])
answer, _ = asyncio.run(post("/segment", {"format": "tex"}))
print(answer.status_code, "'labels', 'text', 'overlay'" in answer.json()["error"])
"""
    )
    assert told.splitlines() == ["200 text/plain; charset=utf-8 True", "True", "422 True"]
    change.passes("tests/service/http/test_openapi.py", "tests/service/http/test_api_docs.py")
    change.passes("tests/service/http/workbench/test_files.py", only="offers")
    assert change.code == 3


def test_a_warning(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="a warning")
    change.edit(
        "service/pipeline/prepare.py",
        ('    "constant_image",\n', '    "very_bright",\n    "constant_image",\n'),
        (
            "    if pixels.min() == pixels.max():",
            """    if pixels.min() > 200:
        yield _warning("very_bright", "Every pixel is brighter than 200.")
    if pixels.min() == pixels.max():""",
        ),
    )
    change.edit(
        "docs/api.md", ("| `constant_image` |", "| `very_bright` | every pixel is above 200 |\n| `constant_image` |")
    )
    told = change.run(
        ANSWERED
        + """
answer, _ = asyncio.run(post("/predict"))
print([warning["code"] for warning in answer.json()["warnings"]])
from service.http.openapi import document
print(document(version="1")["components"]["schemas"]["InputWarning"]["properties"]["code"]["enum"][1:3])
"""
    )
    assert told == "['very_bright', 'constant_image']\n" * 2
    change.passes("tests/service/http/test_api_docs.py", only="warning")
    assert change.code == 1


def test_an_input_format(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="an input format")
    change.add(
        "models/decode/pgm.py",
        '''"""Binary PGM with 8 bits (netpbm's P5)."""

import re

import numpy as np

from models.decode.decoder import Format, Probe
from models.source import plane
from models.errors import DamagedImage
from models.source import Source

FORMAT = Format("PGM", media_types=("image/x-portable-graymap",), extensions=(".pgm",))
_HEADER = re.compile(rb"P5\\s+(\\d{1,6})\\s+(\\d{1,6})\\s+255\\s")


def sniff(data: bytes) -> bool:
    return data.startswith(b"P5")


def probe(data: bytes) -> Probe:
    header = _HEADER.match(data)
    if header is None:
        raise DamagedImage("pgm", "its header is incomplete")
    return Probe(FORMAT, int(header[1]), int(header[2]), 1, "uint8", header=header.end())


def open(data: bytes, probed: Probe) -> Source:
    pixels = np.frombuffer(data, np.uint8, offset=probed.header)
    if pixels.size != probed.width * probed.height:
        raise DamagedImage("pgm", f"it has {pixels.size:,} bytes of pixels")
    return plane(pixels.reshape(probed.height, probed.width), "pgm", 1)
''',
    )
    change.edit(
        "models/decode/__init__.py",
        ("from models.decode import jpeg, png", "from models.decode import jpeg, pgm, png"),
        ("= (png, jpeg, tiff)", "= (png, jpeg, tiff, pgm)"),
    )
    told = change.run(
        ANSWERED.replace("grey(204)", 'b"P5 8 8 255 " + bytes([204]) * 64')
        + """
answer, operation = asyncio.run(post("/predict"))
print(answer.status_code, answer.json()["input"]["format"], answer.json()["classes"][0]["label"])
print("image/x-portable-graymap" in operation["requestBody"]["content"])
from models.decode import decode
from models.errors import NotAnImage
try:
    decode(b"GIF89a", max_pixels=9)
except NotAnImage as error:
    print("PGM" in str(error))
"""
    )
    assert told.splitlines() == ["200 pgm bright", "True", "True"]
    assert change.code == 2
