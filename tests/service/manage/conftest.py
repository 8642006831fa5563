"""Repository for tests of commands: empty, or with three versions of one model."""

from pathlib import Path

import pytest

from tests.service.repository.versions import write_three_versions


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("STRIATE_MODELS", str(folder))
    return folder


@pytest.fixture
def three_versions(models: Path) -> None:
    """Writes the versions 1.0, 2.0 and 3.0 of "brightness"; 3.0 is served."""
    write_three_versions(models)
