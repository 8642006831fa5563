"""The rooms: each contract notices what it forbids, and docs/architecture.md shows what the code does."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from docs.architecture import IMAGES, LANES, PAGE, PICTURES, Step, layers, reduced, steps

ROOT = Path(__file__).parents[1]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]
BROKEN_BY = {  # contract -> the file that breaks it, and the line that is added there
    "service and training meet only in models": ("training/losses.py", "import service.errors"),
    "models imports nothing of ours": ("models/flips.py", "import training.losses"),
    "every file of the service has a room, and imports go down": ("service/encode/npy.py", "import service.tasks"),
    "no circles in the service": ("service/scheduling/work.py", "import service.scheduling.batcher"),
    "every file of models has a layer, and imports go down": ("models/image.py", "import models.spec"),
    "of models, only architectures imports torch": ("models/objects.py", "import torch"),
    "what serves has no torch": ("service/tasks/mask.py", "import torch"),
    "only app imports bentoml": ("service/lifecycle.py", "import bentoml"),
    "only http and app know HTTP": ("service/scheduling/cost_model.py", "import starlette"),
    "only inference imports onnxruntime": ("service/manage/rollback.py", "import onnxruntime"),
    "training, from commands down to metrics": ("training/losses.py", "import training.train"),
    "no circles in training": ("training/calibration.py", "import training.tasks"),
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


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_the_code_says(name: str) -> None:
    assert (IMAGES / name).read_text() == PICTURES[name](), "run `make reference`"


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.title)
def test_a_step_of_the_way_is_where_the_page_says(step: Step) -> None:
    assert step.lane in LANES
    inside = ast.parse((ROOT / step.file).read_text())
    for name in step.function.split("."):
        inside = next(each for each in ast.walk(inside) if getattr(each, "name", None) == name)


def test_the_page_names_files_that_exist() -> None:
    named = set(re.findall(r"`((?:service|models|training|docs|monitoring|benchmarks)/[\w./]*)`", PAGE.read_text()))
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_page_lists_every_room_in_the_contracts_order() -> None:
    listed = re.findall(r"^\| `service/(\w+)(?:/|\.py)` \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert listed == [room for layer in layers() for room in layer]


def test_an_arrow_that_a_longer_way_says_is_left_out() -> None:
    assert reduced({("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}) == {("a", "b"), ("b", "c"), ("a", "d")}
