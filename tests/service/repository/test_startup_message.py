"""Tests of the startup message."""

import json
from pathlib import Path

import pytest

from service.repository.invalid_package import InvalidPackage
from service.repository.startup_message import SAMPLE, log_changes, startup_lines
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


def test_versions_that_are_invalid_for_one_reason_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = [("a", "3.0", "No."), ("a", "2.0", "No."), ("a", "1.0", "Other."), ("b", "1.0", "No.")]
    repository = Repository(invalid=tuple(InvalidPackage(*each) for each in reasons))
    assert list(startup_lines(repository, url=URL)) == [
        "a 3.0 and 1 more of its versions are invalid and not served: No.",
        "a 1.0 is invalid and not served: Other.",
        "b 1.0 is invalid and not served: No.",
        "No model is served.",
    ]
    log_changes(Repository(invalid=repository.invalid[:1]), repository)
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["model"], line["version"], line["versions"]) for line in logged] == [
        ("a", "2.0", 1), ("a", "1.0", 1), ("b", "1.0", 1),
    ]  # fmt: skip


def test_an_empty_repository_is_reported() -> None:
    assert list(startup_lines(Repository(), url=URL)) == ["No model is served."]
