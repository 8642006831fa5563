"""Our packages in the hands of BioImage.IO's own tool: it accepts them, and gets from them what we get.

Each version has an environment of its own under build/, made once; the tool itself runs off the network.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from models import package
from models.preprocess import prepare
from tests.models.tiny_packages import KINDS, contents
from tests.own_environment import COMPILING, environment_of

ROOT = Path(__file__).parents[2]
STARTERS = sorted((ROOT / "models" / "starter").glob("*/*/rdf.yaml"))
VERSIONS = ("0.11.0", "0.10.2")
NOWHERE = "http://127.0.0.1:9"  # the discard port: a proxy that refuses, so nothing is fetched
# BioImage.IO would like a picture of each tensor; class probabilities have none.
NO_PICTURE = "sample_tensor"
PREPROCESS = """
import sys, numpy
from bioimageio.core import create_prediction_pipeline
from bioimageio.core.digest_spec import get_test_input_sample
from bioimageio.spec import load_model_description
for folder in sys.argv[1:]:
    model = load_model_description(folder + "/rdf.yaml")
    sample = get_test_input_sample(model)
    create_prediction_pipeline(model).apply_preprocessing(sample)
    numpy.save(folder + "/preprocessed.npy", sample.members["image"].data.data)
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=VERSIONS)
def tool(request: pytest.FixtureRequest) -> Path:
    """The environment's bin folder."""
    wanted = (f"bioimageio.core=={request.param}", f"onnxruntime=={onnxruntime.__version__}", "pydantic<2.14")
    return environment_of(f"bioimageio-{request.param}", *wanted)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    offline = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "BIOIMAGEIO_PERFORM_IO_CHECKS": "1"}
    return subprocess.run(command, env=os.environ | offline | COMPILING, text=True, capture_output=True)


def accepts(tool: Path, rdf: Path, summary: Path) -> None:
    done = run(tool / "bioimageio", "test", rdf, "--summary", summary)
    assert summary.exists(), done.stderr
    report = json.loads(summary.read_text())
    assert (report["status"], done.returncode) == ("passed", 0), json.dumps(report["details"], indent=1)
    steps = [detail["name"] for detail in report["details"]]
    assert "Reproduce test outputs from test inputs (onnx)" in steps
    assert any(step.startswith("Run onnx inference for inputs with batch_size: 2") for step in steps)
    warnings = [warning for detail in report["details"] for warning in detail["warnings"]]
    assert [w for w in warnings if w["severity"] >= 30 and w["loc"][-1] != NO_PICTURE] == []


@pytest.mark.parametrize("kind", KINDS)
def test_it_accepts_a_package_of_each_kind(tool: Path, kind: str, tmp_path: Path) -> None:
    package.write(tmp_path / "package", **contents(kind))
    accepts(tool, tmp_path / "package" / "rdf.yaml", tmp_path / "summary.json")


@pytest.mark.parametrize("rdf", STARTERS, ids=lambda rdf: "/".join(rdf.parts[-3:-1]))
def test_it_accepts_the_starter_packages(tool: Path, rdf: Path, tmp_path: Path) -> None:
    accepts(tool, rdf, tmp_path / "summary.json")


def test_it_refuses_an_output_that_is_not_the_graphs(tool: Path, tmp_path: Path) -> None:
    wrong = contents("classifier")
    wrong["test_outputs"]["probabilities"] = wrong["test_outputs"]["probabilities"] + np.float32(0.01)
    package.write(tmp_path / "package", **wrong)
    assert run(tool / "bioimageio", "test", tmp_path / "package" / "rdf.yaml").returncode == 1


# Of a description's eps the tool takes no notice (bioimageio.core 0.10.2 and 0.11.0): it always adds 1e-6.
STEPS: list[list[dict[str, Any]]] = [
    [{"id": "ensure_dtype"}, {"id": "scale_linear", "gain": 2.0, "offset": -3.0}],
    [{"id": "scale_range", "min_percentile": 1.0, "max_percentile": 99.8}],
    [{"id": "scale_range", "axes": ["channel", "y", "x"], "max_percentile": 90.0}],
    [{"id": "zero_mean_unit_variance"}, {"id": "clip", "min": -1.0, "max": 1.0}],
    [{"id": "zero_mean_unit_variance", "axes": ["channel", "y", "x"]}],
]


def test_its_preprocessing_is_ours(tool: Path, tmp_path: Path) -> None:
    parts = contents("segmenter")
    image = parts["test_input"][0].transpose(1, 2, 0)  # (H, W, 3)
    written = []
    for number, steps in enumerate(STEPS):
        fields = parts["fields"] | {"input": parts["fields"]["input"] | {"steps": steps}}
        # Its outputs no longer follow from its input, and are not looked at.
        written.append(package.write(tmp_path / str(number), **(parts | {"fields": fields})))
    done = run(tool / "python", "-c", PREPROCESS, *(p.folder for p in written))
    assert done.returncode == 0, done.stderr
    for ours in written:
        tensor = prepare(image, channels=3, size=None, steps=ours.spec.input.steps)
        theirs = np.load(ours.folder / "preprocessed.npy")[0]
        np.testing.assert_allclose(tensor, theirs, rtol=1e-5, atol=1e-6, err_msg=repr(ours.spec.input.steps))
