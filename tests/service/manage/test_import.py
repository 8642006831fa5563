"""What is taken in from elsewhere serves, and gives what its makers say; what is not to be trusted is refused."""

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from models import package
from models.geometry import Geometry
from service.manage.__main__ import main
from service.manage.graph_geometry import NotLocal, of_segmenter
from tests import tiny
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


def imported(*arguments: str | Path) -> int:
    return main(["import", *map(str, arguments)])


def nothing_is_left(models: Path) -> bool:
    return list(models.iterdir()) == []


@pytest.mark.anyio
async def test_the_real_package_serves_and_reproduces_its_test_output(models: Path, serving: Client) -> None:
    source = real_data("bioimageio/unet2d_nuclei_broad")
    assert imported(source) == 0
    image, wanted = np.load(source / "test_input.npy"), np.load(source / "test_output.npy")
    async with serving(models=models) as http:
        data = {"format": "probabilities"}
        got = await http.post("/segment", files=multipart(tiff(image[0, 0])), data=data, timeout=60)
        (model,) = (await http.get("/models")).json()["models"]
    assert got.status_code == 200, got.text
    assert (model["name"], model["classes"][0]["label"]) == ("unet-2d-nuclei-broad", "probability")
    (models / "got.npy").write_bytes(got.content)
    assert np.abs(np.load(models / "got.npy") - wanted[0]).max() < 1e-5  # 1.3e-6 is what its makers' own tool gives


def test_the_real_package_at_any_size_is_tiled_by_what_its_layers_say(models: Path) -> None:
    assert imported(real_data("bioimageio/unet2d_nuclei_broad"), "--any-size", "--classes", "nucleus") == 0
    spec = package.read(models / "unet-2d-nuclei-broad/1.0").spec
    assert (spec.input.size, spec.input.step, spec.stride, spec.halo) == (None, 8, 8, 56)


@pytest.mark.parametrize("form", ["0.4.10", "0.5.3"])
@pytest.mark.parametrize("pack", [Path, foreign.zipped], ids=["folder", "zip"])
def test_both_formats_are_read_from_folders_and_zips(models: Path, tmp_path: Path, form: str, pack: Any) -> None:
    source = pack(foreign.bioimageio(tmp_path / "source", form=form))
    assert imported(source, "--classes", "nucleus") == 0
    spec = package.read(next(models.glob("foreign-nuclei/*"))).spec
    assert spec.version == ("0.3.0" if form == "0.5.3" else "1.0")
    assert (spec.task, spec.activation, spec.input.channels) == ("segmentation", "sigmoid", 1)
    assert spec.input.size == (None if form == "0.4.10" else (32, 32))
    assert spec.halo == (4 if form == "0.4.10" else 0)
    assert [step.id for step in spec.input.steps] == ["ensure_dtype", "zero_mean_unit_variance"]
    assert spec.cite == (("Nobody 2026", "10.1234/5678"),)


def test_a_package_of_ours_with_taps_and_filters_comes_whole(models: Path, tmp_path: Path) -> None:
    ours = package.write(tmp_path / "export", **contents("tapped"))
    assert imported(ours.folder) == 0
    copied = package.read(models / ours.spec.name / ours.spec.version)
    assert copied.sha256 == ours.sha256
    assert copied.filters() is not None


def test_an_older_package_of_ours_is_refused_with_the_command_that_helps(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(made_older(tiny.brightness(tmp_path / "export").folder)) == 1
    assert "python -m service.manage migrate FOLDER" in capsys.readouterr().err
    assert list(models.glob("brightness/*")) == []


def test_a_package_of_ours_comes_byte_for_byte(models: Path, tmp_path: Path) -> None:
    ours = tiny.brightness(tmp_path / "export")
    assert imported(foreign.zipped(ours.folder)) == 0
    assert package.read(models / "brightness/1.0").sha256 == ours.sha256
    assert imported(ours.folder) == 1  # it is there already
    assert imported(ours.folder, "--replace") == 0
    assert [each.name for each in models.iterdir()] == ["brightness"]


@pytest.mark.slow
@pytest.mark.anyio
async def test_tiles_of_an_imported_segmenter_are_the_whole_image(
    models: Path, tmp_path: Path, serving: Client
) -> None:
    """The halo and stride that were computed from its layers are enough."""
    assert imported(real_data("bioimageio/unet2d_nuclei_broad"), "--any-size", "--classes", "nucleus") == 0
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
    told = ("--classes", "cat,dog", "--activation", "softmax", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.1")
    assert imported(source, *BARE, *told) == 0
    spec = package.read(models / "bare-one/1.0").spec
    assert (spec.task, spec.input.size, spec.input.channels) == ("classification", (32, 32), 3)
    pixels = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    async with serving(models=models) as http:
        answer = (await http.post("/predict", files=multipart(tiff(pixels, photometric="rgb")))).json()
    x = (pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.2, 0.1]
    logits = tiny.run(source.read_bytes(), x.transpose(2, 0, 1)[None].astype(np.float32), ("y",))["y"][0]
    wanted = np.exp(logits) / np.exp(logits).sum()
    assert {known["label"]: known["probability"] for known in answer["classes"]} == pytest.approx(
        dict(zip(("cat", "dog"), wanted.tolist())), abs=1e-5
    )


def test_a_bare_segmenter_keeps_sizes_where_it_may(models: Path, tmp_path: Path) -> None:
    source = tmp_path / "network.onnx"
    source.write_bytes(foreign.segmenter())
    assert imported(source, *BARE, "--classes", "cell", "--activation", "sigmoid", "--any-size") == 0
    spec = package.read(models / "bare-one/1.0").spec
    assert (spec.input.size, spec.input.step, spec.stride, spec.halo, spec.receptive_field) == (None, 2, 2, 4, 8)


@pytest.mark.parametrize("shape", [(1, foreign.SIDE**2), (1, -1)])
def test_a_batch_that_a_reshape_fixes_is_freed(models: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    source = tmp_path / "network.onnx"
    source.write_bytes(foreign.flattened(*shape))
    assert imported(source, *BARE, "--classes", "a,b") == 0
    made = package.read(models / "bare-one/1.0")
    images = np.random.default_rng(5).random((3, 1, foreign.SIDE, foreign.SIDE)).astype(np.float32)
    together = tiny.run(made.weights.read_bytes(), images, ("probabilities",))["probabilities"]
    alone = [tiny.run(source.read_bytes(), image[None], ("y",))["y"][0] for image in images]
    assert together == pytest.approx(np.array(alone), abs=1e-6)


REFUSED_BARE = {
    "nothing is said": (foreign.segmenter, (), "does not say its name, classes, normalise"),
    "what it ends in": (foreign.segmenter, (*BARE, "--classes", "a"), "give --activation"),
    "few labels": (foreign.classifier, (*BARE, "--classes", "a", "--activation", "softmax"), "2 outputs and 1 labels"),
    "no such steps": (foreign.segmenter, ("--name", "bare", "--normalise", "x", "--classes", "a"), "none of none"),
    "a pixel sees everything": (foreign.whole_image, (*BARE, "--classes", "a"), "give --halo and --stride"),
    "one image at a time": (partial(foreign.flattened, foreign.SIDE**2), (*BARE, "--classes", "a,b"), "or not on two"),
    "not ONNX": (lambda: b"\x80\x04K\x01.", (*BARE, "--classes", "a"), "no valid ONNX network"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_BARE)
def test_a_bare_network_that_leaves_something_open_is_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    weights, arguments, reason = REFUSED_BARE[case]
    source = tmp_path / "network.onnx"
    source.write_bytes(weights())
    assert imported(source, *arguments) == 1
    assert reason in capsys.readouterr().err
    assert nothing_is_left(models)


def external() -> bytes:
    """Weights that are said to lie in a file of the machine."""
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


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a URL": ({"weights": {"onnx": {"source": "https://example.com/w.onnx"}}}, "nothing is fetched"),
    "another folder": ({"weights": {"onnx": {"source": "../w.onnx"}}}, "no other folder is read"),
    "an absolute path": ({"weights": {"onnx": {"source": "/etc/passwd"}}}, "no other folder is read"),
    "code": ({"weights": {"pytorch_state_dict": {"source": "w.pt", "architecture": "unet.py"}}}, "none for onnx"),
    "a pickle": ({"weights": {"torchscript": {"source": "w.pt"}}}, "none for onnx"),
    "changed bytes": ({"weights": {"onnx": {"source": "weights.onnx", "sha256": "0" * 64}}}, "has been changed"),
    "another format": ({"format_version": "0.3.1"}, "format '0.3.1'"),
    "no description of it": ({"inputs": "x"}, "is not one of a BioImage.IO model"),
    "weights elsewhere": ({"network_file": external()}, "in other files"),
    "foreign operations": ({"network_file": foreign_operation()}, "com.example"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_to_be_trusted_is_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    changes, reason = REFUSED[case]
    source = foreign.bioimageio(tmp_path / "source", form="0.4.10", **changes)
    assert imported(source, "--classes", "nucleus") == 1
    assert reason in capsys.readouterr().err
    assert nothing_is_left(models)


def test_an_output_that_is_not_reproduced_is_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = foreign.bioimageio(tmp_path / "source", form="0.4.10")
    document = yaml.safe_load((source / "rdf.yaml").read_text())
    document["inputs"][0]["preprocessing"] = []
    (source / "rdf.yaml").write_text(yaml.safe_dump(document))
    assert imported(source, "--classes", "nucleus") == 1
    assert "does not reproduce the test output" in capsys.readouterr().err
    assert nothing_is_left(models)


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("weights.onnx")
    entry.external_attr = 0o120777 << 16
    archive.writestr(entry, "/etc/passwd")


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("rdf.yaml", b"0" * 10_000_000)


ARCHIVES = {
    "a way out": (lambda archive: archive.writestr("../../rdf.yaml", "x"), "leads out of its folder"),
    "a way out, by Windows": (lambda archive: archive.writestr("..\\rdf.yaml", "x"), "leads out of its folder"),
    "an absolute path": (lambda archive: archive.writestr("/tmp/rdf.yaml", "x"), "leads out of its folder"),
    "a link": (link, "is a link"),
    "a bomb": (bomb, "1,000,000 bytes"),
    "too many files": (lambda archive: [archive.writestr(f"{n}", "") for n in range(1001)], "more than 1,000 files"),
    "no description": (lambda archive: archive.writestr("weights.onnx", "x"), "There is no description in it"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_mean_harm_are_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    fill, reason = ARCHIVES[case]
    monkeypatch.setattr("service.manage.archive.MOST_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "source.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    assert imported(tmp_path / "source.zip") == 1
    assert reason in capsys.readouterr().err
    assert nothing_is_left(models)


def test_an_archive_that_lies_about_its_sizes_is_counted(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.manage.archive.MOST_BYTES", 1_000_000)
    target = tmp_path / "source.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        bomb(archive)
    size = (10_000_000).to_bytes(4, "little")
    target.write_bytes(target.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    assert imported(target) == 1
    assert capsys.readouterr().err.startswith("striate: ")
    assert nothing_is_left(models)


def test_geometry_is_what_the_training_computes() -> None:
    spec = package.read(ROOT / "models/starter/nuclei/1.0.0").spec
    found = of_segmenter(onnx.load(ROOT / "models/starter/nuclei/1.0.0/model.onnx"))
    assert found == Geometry(
        spec.stride, spec.receptive_field, spec.halo, spec.border, spec.input.min_size, spec.input.step
    )


def test_a_network_that_sees_the_whole_image_has_no_geometry() -> None:
    with pytest.raises(NotLocal, match="GlobalAveragePool"):
        of_segmenter(onnx.load_model_from_string(foreign.whole_image()))
