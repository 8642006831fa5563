"""Tests of the startup message."""

from pathlib import Path

from service.repository.startup_message import SAMPLE, startup_lines
from service.repository.state import Repository
from tests import tiny
from tests.service.image_files import grey
from tests.service.repository.loaded_repository import load_repository

URL = "http://127.0.0.1:3000"


def test_every_package_has_a_line_and_the_command_names_an_existing_file(tmp_path: Path) -> None:
    sample = tiny.brightness(tmp_path).folder / SAMPLE
    sample.write_bytes(grey(9))
    tiny.blobs(tmp_path)
    tiny.tissue(tmp_path).weights.unlink()
    assert list(startup_lines(load_repository(tmp_path), url=URL)) == [
        "blobs 1.0 (segmentation) is served by CPUExecutionProvider",
        "brightness 1.0 (classification) is served by CPUExecutionProvider",
        "tissue 1.0 is invalid and not served: model.onnx cannot be read: No such file or directory.",
        f"Ready at {URL}. Try:",
        f"  curl -F image=@{sample} -F model=brightness {URL}/predict",
    ]


def test_a_segmenter_with_a_sample_measures_it(tmp_path: Path) -> None:
    (tiny.blobs(tmp_path).folder / SAMPLE).write_bytes(grey(9))
    *_, curl = startup_lines(load_repository(tmp_path), url=URL)
    assert curl.endswith(f"-F model=blobs {URL}/segment -F format=measurements")


def test_without_a_sample_the_command_lists_the_models(root: Path) -> None:
    *_, curl = startup_lines(load_repository(root), url=URL)
    assert curl == f"  curl {URL}/models"


def test_an_empty_repository_is_reported() -> None:
    assert list(startup_lines(Repository(), url=URL)) == ["No model is served."]
