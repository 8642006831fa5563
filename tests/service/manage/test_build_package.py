"""Tests of the package builder: what is read from a foreign package, a package of ours and a bare network."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models import package
from tests import package_parts
from tests.conftest import Client
from tests.data import real_data
from tests.models.tiny_packages import contents
from tests.service.image_files import form as multipart
from tests.service.image_files import tiff
from tests.service.manage import foreign
from tests.service.manage.import_command import BARE, is_empty, run_import


def test_the_real_package_at_any_size_is_tiled_by_its_layers(models: Path) -> None:
    assert run_import(real_data("bioimageio/unet2d_nuclei_broad"), "--any-size", "--classes", "nucleus") == 0
    spec = package.read(models / "unet-2d-nuclei-broad/1.0").spec
    assert (spec.input.size, spec.input.step, spec.stride, spec.halo) == (None, 8, 8, 56)


def test_a_package_of_ours_with_taps_and_filters_comes_whole(models: Path, tmp_path: Path) -> None:
    ours = package.write(tmp_path / "export", **contents("tapped"))
    assert run_import(ours.folder) == 0
    copied = package.read(models / ours.spec.name / ours.spec.version)
    assert copied.sha256 == ours.sha256
    assert copied.filters() is not None


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
        async with serving(models=models, tile_px=tile_px, timeout_s=240) as http:
            got = await http.post("/segment", files=multipart(tiff(image)), data={"format": "probabilities"})
        assert got.status_code == 200, got.text
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
