"""What a person reads at start."""

from pathlib import Path

from service.repository.startup_message import SAMPLE, lines
from service.repository.state import Repository
from tests import tiny
from tests.service.image_files import grey
from tests.service.repository.test_verifier import loaded

URL = "http://127.0.0.1:3000"


def test_every_package_has_its_line_and_the_curl_names_a_file_that_is_there(tmp_path: Path) -> None:
    sample = tiny.brightness(tmp_path).folder / SAMPLE
    sample.write_bytes(grey(9))
    tiny.blobs(tmp_path)
    tiny.tissue(tmp_path).weights.unlink()
    assert list(lines(loaded(tmp_path), url=URL)) == [
        "blobs 1.0 (segmentation) serves on CPUExecutionProvider",
        "brightness 1.0 (classification) serves on CPUExecutionProvider",
        "tissue 1.0 was refused: model.onnx cannot be read: No such file or directory.",
        f"Ready at {URL}. Try:",
        f"  curl -F image=@{sample} -F model=brightness {URL}/predict",
    ]


def test_a_segmenter_with_a_sample_is_asked_to_measure(tmp_path: Path) -> None:
    (tiny.blobs(tmp_path).folder / SAMPLE).write_bytes(grey(9))
    *_, curl = lines(loaded(tmp_path), url=URL)
    assert curl.endswith(f"-F model=blobs {URL}/segment -F format=measurements")


def test_without_a_sample_the_curl_lists_the_models(root: Path) -> None:
    *_, curl = lines(loaded(root), url=URL)
    assert curl == f"  curl {URL}/models"


def test_nothing_to_serve_is_said() -> None:
    assert list(lines(Repository(), url=URL)) == ["No model serves."]
