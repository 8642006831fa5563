"""The rooms' contracts: each of them notices what it forbids."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]
BROKEN_BY = {  # contract -> the file that breaks it, and the line that is added there
    "service and training meet only in models": ("training/labels.py", "import service.errors"),
    "models imports nothing of ours": ("models/flips.py", "import training.labels"),
    "every file of the service has a room, and imports go down": ("service/encode/npy.py", "import service.tasks"),
    "no circles in the service": ("service/scheduling/deadline.py", "import service.scheduling.batcher"),
    "what serves has no torch": ("service/tasks/picture.py", "import torch"),
    "only app imports bentoml": ("service/lifecycle.py", "import bentoml"),
    "only http and app know HTTP": ("service/scheduling/cost_model.py", "import starlette"),
    "only inference imports onnxruntime": ("service/manage/rollback.py", "import onnxruntime"),
}  # fmt: skip


def lint(folder: Path) -> str:
    """What import-linter says of the tree in this folder."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in ("service", "models", "training"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("starter", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_breaks_where_it_is_broken(tree: Path) -> None:
    for file, line in BROKEN_BY.values():
        path = tree / file
        path.write_text(f"{path.read_text()}\n{line}\n")
    said = lint(tree)
    assert list(BROKEN_BY) == CONTRACTS
    assert re.findall(r"^(.+) BROKEN", said, re.MULTILINE) == CONTRACTS


def test_a_file_without_a_room_fails(tree: Path) -> None:
    (tree / "service" / "stray.py").write_text('"""A file that no layer names."""\n')
    said = lint(tree)
    assert re.findall(r"^(.+) BROKEN", said, re.MULTILINE) == [name for name in CONTRACTS if "has a room" in name]
    assert "service.stray" in said
