"""Which packages serve: the proof each must give, and what is said of those that fail it."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.package import Package
from service.errors import NotReady
from service.repository import loader
from service.repository.errors import UnknownModel, WrongTask
from service.repository.state import Repository
from service.settings import Settings
from tests import tiny


def loaded(root: Path, *, wanted: tuple[str, ...] = ()) -> Repository:
    """What a keeper makes of a folder that it sees for the first time; its networks are closed."""

    async def published(_: Repository) -> None: ...

    async def look() -> Repository:
        settings = Settings(models=root, device="cpu", session_threads=1, wanted=wanted)
        keeper = loader.keeper(settings, publish=published)
        repository = await keeper.refresh()
        keeper.close()
        return repository

    return asyncio.run(look())


def test_the_newest_version_serves_by_number(tmp_path: Path) -> None:
    for version in ("0.9", "0.10", "0.2.7"):
        tiny.brightness(tmp_path, version=version)
    repository = loaded(tmp_path)
    assert repository.served["brightness"].spec.version == "0.10"
    assert not repository.refused


def edited(old: str, new: str) -> Callable[[Package], None]:
    def edit(package: Package) -> None:
        description = package.folder / "rdf.yaml"
        assert old in description.read_text()
        description.write_text(description.read_text().replace(old, new))

    return edit


def resealed(name: str, content: bytes) -> Callable[[Package], None]:
    """A file replaced together with its digest: only running it can tell."""

    def reseal(package: Package) -> None:
        old = hashlib.sha256((package.folder / name).read_bytes()).hexdigest()
        (package.folder / name).write_bytes(content)
        edited(old, hashlib.sha256(content).hexdigest())(package)

    return reseal


def wrong_output() -> bytes:
    file = io.BytesIO()
    np.save(file, np.full((1, 3), 1 / 3, np.float32))
    return file.getvalue()


def moved(package: Package) -> None:
    package.folder.rename(package.folder.with_name("2.0"))


REFUSED = {
    "a changed byte": (lambda p: p.weights.write_bytes(b"\0" + p.weights.read_bytes()[1:]), "has been changed"),
    "no description": (lambda p: (p.folder / "rdf.yaml").unlink(), "rdf.yaml cannot be read"),
    "no weights": (lambda p: p.weights.unlink(), "model.onnx cannot be read"),
    "not YAML": (lambda p: (p.folder / "rdf.yaml").write_text("a: ["), "is not YAML"),
    "a way out of the folder": (edited("source: model.onnx", "source: ../model.onnx"), "../model.onnx"),
    "a folder of another version": (moved, "rdf.yaml says brightness 1.0, but the folder is brightness/2.0"),
    "not an ONNX network": (resealed("model.onnx", b"not onnx"), "cannot load the network"),
    "other test outputs": (resealed("test_probabilities.npy", wrong_output()), "does not reproduce the test output"),
    "a pickle for a test tensor": (resealed("test_input.npy", b"\x80\x04K\x01."), "is not a .npy array"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_package_is_refused_with_its_reason_and_the_others_serve(tmp_path: Path, case: str) -> None:
    spoil, reason = REFUSED[case]
    tiny.blobs(tmp_path)
    spoil(tiny.brightness(tmp_path))
    repository = loaded(tmp_path)
    assert list(repository.served) == ["blobs"]
    (refused,) = repository.refused
    assert refused.name == "brightness"
    assert reason in refused.reason
    with pytest.raises(NotReady, match="does not serve"):
        repository.get("brightness")


def test_an_older_version_serves_where_the_newest_is_refused(tmp_path: Path) -> None:
    tiny.brightness(tmp_path)
    tiny.brightness(tmp_path, version="2.0").weights.write_bytes(b"")
    repository = loaded(tmp_path)
    assert repository.served["brightness"].spec.version == "1.0"
    assert repository.refused[0].version == "2.0"


def test_drafts_and_stray_files_are_no_packages(tmp_path: Path) -> None:
    package = tiny.brightness(tmp_path)
    (package.folder.parent / ".2.0-draft").mkdir()
    (tmp_path / "README.md").write_text("stray")
    (package.folder.parent / "notes.txt").write_text("stray")
    assert not loaded(tmp_path).refused


def test_a_model_is_chosen_by_name_and_task(root: Path) -> None:
    repository = loaded(root)
    assert repository.able("segmentation") == ("blobs", "tissue")
    assert repository.choose("brightness", task="classification").spec.name == "brightness"
    with pytest.raises(UnknownModel, match="'blobs', 'brightness', 'tissue'"):
        repository.get("resnet")
    with pytest.raises(WrongTask, match="'blobs', 'tissue'"):
        repository.choose("brightness", task="segmentation")


@pytest.mark.parametrize(
    ("wanted", "missing"), [((), ()), (("blobs",), ()), (("blobs", "brightness"), ("brightness",)), (("x",), ("x",))]
)
def test_what_is_wanted_and_does_not_serve_is_missing(
    tmp_path: Path, wanted: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    tiny.blobs(tmp_path)
    tiny.brightness(tmp_path).weights.write_bytes(b"")
    assert loaded(tmp_path, wanted=wanted).missing() == missing
