"""The audit as a command."""

import runpy
import sys
from pathlib import Path

import pytest

from tests.training.audit.audit_images import files
from tests.training.audit.planted_faults import cut_short


@pytest.mark.parametrize(("faulty", "status"), [(True, 1), (False, None)])
def test_the_command_line(faulty: bool, status: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = files(tmp_path)
    if faulty:
        cut_short(images)
    recipe = "training/recipes/pneumonia.toml"
    monkeypatch.setattr(sys, "argv", ["training.audit", recipe, "--data", str(tmp_path)])
    if status is None:
        runpy.run_module("training.audit", run_name="__main__")
        return
    with pytest.raises(SystemExit, match="unreadable"):
        runpy.run_module("training.audit", run_name="__main__")
