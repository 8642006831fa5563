"""Tests of house rules that no linter knows: names, lengths, titles of a subject, and tests that mirror the rooms."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = {"__init__.py", "__main__.py", "routes.py", "errors.py"}  # file names that several rooms may have
RIDDLE = re.compile(r"(What|Where|How|Which|Who|When|Why|Whether|From|Of|As)\b")
MODULES = sorted(path for room in ("service", "models", "training") for path in (ROOT / room).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TESTED_ELSEWHERE = {
    "__init__.py",  # by the tests of the modules that the folder puts together
    "errors.py",  # together, as HTTP answers them: tests/service/http/test_errors.py
    "architectures",  # every family by the same tests: tests/models/architectures
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def has_behaviour(path: Path) -> bool:
    """Returns whether a function does more than one thing; fields, constants and single expressions only declare."""
    return any(len(node.body) - (ast.get_docstring(node) is not None) > 1 for node in functions(path))


def test_no_two_files_share_a_name() -> None:
    by_name = defaultdict(list)
    for path in MODULES:
        by_name[path.name].append(name_of(path))
    assert [names for name, names in by_name.items() if len(names) > 1 and name not in SHARED] == []


def test_no_two_classes_share_a_name() -> None:
    by_name = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                by_name[node.name].append(name_of(path))
    assert {name: paths for name, paths in by_name.items() if len(paths) > 1} == {}


def test_the_service_has_few_modules_outside_its_rooms() -> None:
    assert len(list((ROOT / "service").glob("*.py"))) <= 8


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_is_one_idea_with_a_title(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 250
    long = [node.name for node in functions(path) if (node.end_lineno or 0) - node.lineno >= 60]
    assert long == []
    title = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    assert not RIDDLE.match(title), title
    if path.name != "__init__.py":
        assert title, "a module without a title"


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_file_of_tests_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250


@pytest.mark.parametrize("folder", ["service", "models", "training"])
def test_a_module_that_has_behaviour_has_tests_of_its_name(folder: str) -> None:
    modules = [
        path
        for path in MODULES
        if path.is_relative_to(ROOT / folder) and not {path.name, path.parent.name} & TESTED_ELSEWHERE
    ]
    tests = {
        path: ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.stem.strip('_')}.py") for path in modules
    }
    assert [name_of(path) for path in modules if has_behaviour(path) and not tests[path].exists()] == []
