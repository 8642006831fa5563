"""Tests of imports: foreign packages reproduce their own outputs, and untrusted ones are rejected."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from models import package
from service.manage.__main__ import main
from tests import package_parts, tiny
from tests.conftest import Client
from tests.data import real_data
from tests.models.tiny_packages import contents
from tests.service.image_files import form as multipart
from tests.service.image_files import tiff
from tests.service.manage import foreign
from tests.service.manage.older_package import made_older

ROOT = Path(__file__).parents[3]
BARE = ("--name", "bare-one", "--normalise", "8bit")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("STRIATE_MODELS", str(folder))
    return folder


def run_import(*arguments: str | Path) -> int:
    return main(["import", *map(str, arguments)])


def is_empty(models: Path) -> bool:
    return list(models.iterdir()) == []


@pytest.mark.anyio
async def test_the_real_package_serves_and_reproduces_its_test_output(models: Path, serving: Client) -> None:
    source = real_data("bioimageio/unet2d_nuclei_broad")
    assert run_import(source) == 0
    image, wanted = np.load(source / "test_input.npy"), np.load(source / "test_output.npy")
    async with serving(models=models) as http:
        data = {"format": "probabilities"}
        got = await http.post("/segment", files=multipart(tiff(image[0, 0])), data=data, timeout=60)
        (model,) = (await http.get("/models")).json()["models"]
    assert got.status_code == 200, got.text
    assert (model["name"], model["classes"][0]["label"]) == ("unet-2d-nuclei-broad", "probability")
    (models / "got.npy").write_bytes(got.content)
    assert np.abs(np.load(models / "got.npy") - wanted[0]).max() < 1e-5  # its authors' own tool differs by 1.3e-6


def test_the_real_package_at_any_size_is_tiled_by_its_layers(models: Path) -> None:
    assert run_import(real_data("bioimageio/unet2d_nuclei_broad"), "--any-size", "--classes", "nucleus") == 0
    spec = package.read(models / "unet-2d-nuclei-broad/1.0").spec
    assert (spec.input.size, spec.input.step, spec.stride, spec.halo) == (None, 8, 8, 56)


@pytest.mark.parametrize("form", ["0.4.10", "0.5.3"])
@pytest.mark.parametrize("pack", [Path, foreign.zipped], ids=["folder", "zip"])
def test_both_formats_are_read_from_folders_and_zips(models: Path, tmp_path: Path, form: str, pack: Any) -> None:
    source = pack(foreign.bioimageio(tmp_path / "source", form=form))
    assert run_import(source, "--classes", "nucleus") == 0
    spec = package.read(next(models.glob("foreign-nuclei/*"))).spec
    assert spec.version == ("0.3.0" if form == "0.5.3" else "1.0")
    assert (spec.task, spec.activation, spec.input.channels) == ("segmentation", "sigmoid", 1)
    assert spec.input.size == (None if form == "0.4.10" else (32, 32))
    assert spec.halo == (4 if form == "0.4.10" else 0)
    assert [step.id for step in spec.input.steps] == ["ensure_dtype", "zero_mean_unit_variance"]
    assert spec.cite == (("Nobody 2026", "10.1234/5678"),)


def test_a_package_of_ours_with_taps_and_filters_comes_whole(models: Path, tmp_path: Path) -> None:
    ours = package.write(tmp_path / "export", **contents("tapped"))
    assert run_import(ours.folder) == 0
    copied = package.read(models / ours.spec.name / ours.spec.version)
    assert copied.sha256 == ours.sha256
    assert copied.filters() is not None


def test_an_older_package_of_ours_is_refused_with_the_command_that_helps(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(made_older(tiny.brightness(tmp_path / "export").folder)) == 1
    assert "python -m service.manage migrate FOLDER" in capsys.readouterr().err
    assert list(models.glob("brightness/*")) == []


def test_a_striate_package_is_copied_byte_for_byte(models: Path, tmp_path: Path) -> None:
    ours = tiny.brightness(tmp_path / "export")
    assert run_import(foreign.zipped(ours.folder)) == 0
    assert package.read(models / "brightness/1.0").sha256 == ours.sha256
    assert run_import(ours.folder) == 1  # it already exists
    assert run_import(ours.folder, "--replace") == 0
    assert [each.name for each in models.iterdir()] == ["brightness"]


@pytest.mark.slow
@pytest.mark.anyio
async def test_tiles_of_an_imported_segmenter_are_the_whole_image(
    models: Path, tmp_path: Path, serving: Client
) -> None:
    """Checks that the halo and stride computed from the layers suffice."""
    assert run_import(real_data("bioimageio/unet2d_nuclei_broad"), "--any-size", "--classes", "nucleus") == 0
    image = np.random.default_rng(4).integers(0, 255, (300, 412), np.uint8)
    maps = []
    for tile_px in (64, 1024):
        async with serving(models=models, tile_px=tile_px) as http:
            got = await http.post(
                "/segment", files=multipart(tiff(image)), data={"format": "probabilities"}, timeout=60
            )
        (tmp_path / "got.npy").write_bytes(got.content)
        maps.append(np.load(tmp_path / "got.npy"))
    assert maps[0].shape == (1, 300, 412)
    assert np.abs(maps[0] - maps[1]).max() < 1e-5


@pytest.mark.anyio
async def test_a_bare_classifier_serves(models: Path, tmp_path: Path, serving: Client) -> None:
    source = tmp_path / "network.onnx"
    source.write_bytes(foreign.classifier())
    options = ("--classes", "cat,dog", "--activation", "softmax", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.1")
    assert run_import(source, *BARE, *options) == 0
    spec = package.read(models / "bare-one/1.0").spec
    assert (spec.task, spec.input.size, spec.input.channels) == ("classification", (32, 32), 3)
    pixels = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    async with serving(models=models) as http:
        answer = (await http.post("/predict", files=multipart(tiff(pixels, photometric="rgb")))).json()
    x = (pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.2, 0.1]
    logits = package_parts.run(source.read_bytes(), x.transpose(2, 0, 1)[None].astype(np.float32), ("y",))["y"][0]
    wanted = np.exp(logits) / np.exp(logits).sum()
    assert {known["label"]: known["probability"] for known in answer["classes"]} == pytest.approx(
        dict(zip(("cat", "dog"), wanted.tolist())), abs=1e-5
    )


def test_a_bare_segmenter_at_any_size(models: Path, tmp_path: Path) -> None:
    source = tmp_path / "network.onnx"
    source.write_bytes(foreign.segmenter())
    assert run_import(source, *BARE, "--classes", "cell", "--activation", "sigmoid", "--any-size") == 0
    spec = package.read(models / "bare-one/1.0").spec
    assert (spec.input.size, spec.input.step, spec.stride, spec.halo, spec.receptive_field) == (None, 2, 2, 4, 8)


@pytest.mark.parametrize("shape", [(1, foreign.SIDE**2), (1, -1)])
def test_a_batch_size_fixed_by_a_reshape_becomes_dynamic(models: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    source = tmp_path / "network.onnx"
    source.write_bytes(foreign.flattened(*shape))
    assert run_import(source, *BARE, "--classes", "a,b") == 0
    made = package.read(models / "bare-one/1.0")
    images = np.random.default_rng(5).random((3, 1, foreign.SIDE, foreign.SIDE)).astype(np.float32)
    batch = package_parts.run(made.weights.read_bytes(), images, ("probabilities",))["probabilities"]
    single = [package_parts.run(source.read_bytes(), image[None], ("y",))["y"][0] for image in images]
    assert batch == pytest.approx(np.array(single), abs=1e-6)


INVALID_NETWORKS = {
    "no options": (foreign.segmenter, (), "needs the options --name and --classes and --normalise"),
    "no activation": (foreign.segmenter, (*BARE, "--classes", "a"), "set --activation"),
    "few labels": (foreign.classifier, (*BARE, "--classes", "a", "--activation", "softmax"), "2 outputs and 1 labels"),
    "unknown steps": (foreign.segmenter, ("--name", "bare", "--normalise", "x", "--classes", "a"), "one of none, 8bit"),
    "a pixel sees everything": (foreign.whole_image, (*BARE, "--classes", "a"), "set --halo and --stride"),
    "fixed batch": (partial(foreign.flattened, foreign.SIDE**2), (*BARE, "--classes", "a,b"), "one and two images"),
    "not ONNX": (lambda: b"\x80\x04K\x01.", (*BARE, "--classes", "a"), "not a valid ONNX network"),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID_NETWORKS)
def test_an_incompletely_described_network_is_rejected(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    weights, arguments, reason = INVALID_NETWORKS[case]
    source = tmp_path / "network.onnx"
    source.write_bytes(weights())
    assert run_import(source, *arguments) == 1
    assert reason in capsys.readouterr().err
    assert is_empty(models)


def external() -> bytes:
    """Returns a network whose weights refer to a file of the machine."""
    model = onnx.load_model_from_string(foreign.segmenter())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model.SerializeToString()


def foreign_operation() -> bytes:
    model = onnx.load_model_from_string(foreign.segmenter())
    model.opset_import.add(domain="com.example", version=1)
    return model.SerializeToString()


INVALID_PACKAGES: dict[str, tuple[dict[str, Any], str]] = {
    "a URL": ({"weights": {"onnx": {"source": "https://example.com/w.onnx"}}}, "URLs and other folders are not read"),
    "another folder": ({"weights": {"onnx": {"source": "../w.onnx"}}}, "other folders are not read"),
    "an absolute path": ({"weights": {"onnx": {"source": "/etc/passwd"}}}, "other folders are not read"),
    "code": (
        {"weights": {"pytorch_state_dict": {"source": "w.pt", "architecture": "unet.py"}}},
        "ONNX weights are required",
    ),
    "a pickle": ({"weights": {"torchscript": {"source": "w.pt"}}}, "ONNX weights are required"),
    "changed bytes": ({"weights": {"onnx": {"source": "weights.onnx", "sha256": "0" * 64}}}, "has been changed"),
    "another format": ({"format_version": "0.3.1"}, "format '0.3.1'"),
    "no description of it": ({"inputs": "x"}, "is not a BioImage.IO model"),
    "weights elsewhere": ({"network_file": external()}, "in external files"),
    "foreign operations": ({"network_file": foreign_operation()}, "com.example"),
}


@pytest.mark.parametrize("case", INVALID_PACKAGES)
def test_untrusted_packages_are_rejected(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    changes, reason = INVALID_PACKAGES[case]
    source = foreign.bioimageio(tmp_path / "source", form="0.4.10", **changes)
    assert run_import(source, "--classes", "nucleus") == 1
    assert reason in capsys.readouterr().err
    assert is_empty(models)


def test_an_output_that_is_not_reproduced_is_rejected(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = foreign.bioimageio(tmp_path / "source", form="0.4.10")
    document = yaml.safe_load((source / "rdf.yaml").read_text())
    document["inputs"][0]["preprocessing"] = []
    (source / "rdf.yaml").write_text(yaml.safe_dump(document))
    assert run_import(source, "--classes", "nucleus") == 1
    assert "does not reproduce the test output" in capsys.readouterr().err
    assert is_empty(models)
