"""The protocol's clients from PyPI against a running service: what they get is what /predict and /segment give.

Each client has an environment of its own under build/, made once: their pins do not go together with ours.
"""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models import package as packages
from models.decode import decode
from models.image import Array
from models.preprocess import prepare
from models.spec import ModelSpec
from service.encode.png_writer import png
from tests import tiny
from tests.data import real_data
from tests.own_environment import COMPILING, environment_of
from tests.service.image_files import form, grey
from tests.serving import ROOT, environment, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
CLIENTS = {"triton": "tritonclient[http]==2.73.0", "kserve": "kserve==0.21.0"}
STARTER = ROOT / "models" / "starter"


@pytest.fixture(scope="module", params=CLIENTS)
def client(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """A Python that has the client, and the script that asks with it."""
    programs = environment_of(f"client-{request.param}", CLIENTS[request.param])
    return programs / "python", Path(__file__).parent / "clients" / f"ask_{request.param}.py"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """A service of a tiny network and the starter packages, and where they are."""
    folder = tmp_path_factory.mktemp("served")
    tiny.brightness(folder)
    for package in STARTER.iterdir():
        (folder / package.name).symlink_to(package)
    with served(folder / "log", STRIATE_MODELS=str(folder), STRIATE_BATCH_SIZES="1,2") as (http, _):
        http.timeout = httpx.Timeout(120)
        yield http, folder


def files_of(model: str) -> list[bytes]:
    """Images for the model, all of one size: made here, a patient's, or the package's own."""
    if model == "brightness":
        return [grey(204), grey(20), grey(120)]
    if model == "pneumonia":
        folder = real_data("kermany_cxr")
        return [min((folder / "test" / kind).iterdir()).read_bytes() for kind in ("NORMAL", "PNEUMONIA")]
    sample = next(STARTER.glob(f"{model}/*/sample.png")).read_bytes()
    if model == "nuclei":  # as JSON, in fifteen ways
        return [png(decode(sample, max_pixels=10**8).pixels[:128, :128])]
    return [sample]


def answers_of(model: str, files: list[bytes], http: httpx.Client) -> Array:
    """The same by our own routes: a classifier's (N, C), a segmenter's (1, C, H, W)."""
    if model == "nuclei":
        data = {"model": model, "format": "probabilities"}
        return np.load(io.BytesIO(http.post("/segment", files=form(*files), data=data).content))[None]
    labels = [known["label"] for known in http.get(f"/models/{model}").json()["classes"]]
    every = [
        http.post("/predict", files=form(file), data={"model": model, "top_k": "10"}).json()["classes"]
        for file in files
    ]
    found = [{known["label"]: known["probability"] for known in classes} for classes in every]
    return np.array([[each[label] for label in labels] for each in found])


def prepared(file: bytes, spec: ModelSpec) -> Array:
    pixels = decode(file, max_pixels=10**8).pixels
    return prepare(pixels, channels=spec.input.channels, size=spec.input.size, steps=spec.input.steps)


@pytest.mark.parametrize("model", ["brightness", "digits", "pneumonia", "nuclei"])
def test_a_client_gets_what_our_own_routes_give(
    client: tuple[Path, Path], service: tuple[httpx.Client, Path], model: str, tmp_path: Path
) -> None:
    (python, script), (http, root) = client, service
    files = files_of(model)
    wanted = answers_of(model, files, http)
    spec = packages.read(next((root / model).iterdir())).spec
    for n, file in enumerate(files):
        (tmp_path / f"file{n}").write_bytes(file)
    np.save(tmp_path / "tensor.npy", np.stack([prepared(file, spec) for file in files]))
    address = f"{http.base_url.host}:{http.base_url.port}"
    command = [python, script, address, model, tmp_path]
    done = subprocess.run(command, env=environment(**COMPILING), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    answers = np.load(tmp_path / "answers.npz")
    for way in answers:
        given = answers[way][:, : wanted.shape[1]]  # without auxiliary channels
        assert given.dtype == np.float32
        assert given == pytest.approx(wanted, abs=1e-5), way
    FACTS[script.stem](json.loads((tmp_path / "facts.json").read_text()), spec, answers)


def triton_facts(facts: dict[str, Any], spec: ModelSpec, answers: dict[str, Array]) -> None:
    assert len(answers) == 2 * 7 + 1 + 8
    assert (facts["live"], facts["absent"]) == (True, False)
    assert facts["server"]["name"] == "striate"
    assert [each["name"] for each in facts["model"]["inputs"]] == ["image", "image_bytes"]
    assert [each["name"] for each in facts["model"]["outputs"]] == list(spec.output_names)
    assert facts["tensor_hurried"] == {"id": "case-7", "model_version": spec.version}
    assert facts["tensor"]["id"] is None
    if spec.task == "classification":
        for row, probabilities in zip(facts["classes"], answers["sync_files"], strict=True):
            best = int(probabilities[: len(spec.classes)].argmax())
            assert row[0] == f"{probabilities[best]:.6f}:{best}:{spec.classes[best].label}"
    assert [int(status) for status, _ in facts["errors"]] == [422, 422, 422]
    for said, (_, sentence) in zip(("no input 'x'", "its shape is", "'FP64'"), facts["errors"]):
        assert said in sentence
    (stats,) = facts["statistics"]["model_stats"]
    assert stats["inference_stats"]["success"]["count"] >= 8
    assert stats["inference_count"] >= stats["execution_count"] > 0 or spec.task == "segmentation"


def kserve_facts(facts: dict[str, Any], spec: ModelSpec, answers: dict[str, Array]) -> None:
    assert set(answers) == {"tensor_json", "tensor", "tensor_mixed", "files"}
    assert facts["live"] is True
    assert facts["ids"] == ["case-7"] * 4
    status, sentence = facts["error"]
    assert status == 400
    assert "'inputs' must hold one tensor" in sentence


FACTS = {"ask_triton": triton_facts, "ask_kserve": kserve_facts}
