"""A copy of the repository in which a test makes the change that a row of CONTRIBUTING.md describes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = dict(
    re.findall(r"^\| (an? .+?) \| (.+?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
)  # what is added -> what it touches
_LARGE = ("models/starter", "docs/images")  # linked: no change touches them
_NAMES = ("service", "models", "training", "docs", "tests", "monitoring", "pyproject.toml", "docker-compose.yml")


class ChangedCopy:
    """The repository's copy in `folder`. row: the change's row in CONTRIBUTING.md, whose files alone may be touched."""

    def __init__(self, folder: Path, *, row: str) -> None:
        self.folder, self._allowed = folder, re.findall(r"`([\w./-]+)`", ROWS[row])
        self.touched: set[str] = set()
        for name in _NAMES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=_ignored)
            else:
                shutil.copy(ROOT / name, folder)
        for name in _LARGE:
            (folder / name).symlink_to(ROOT / name)

    @property
    def code(self) -> int:
        """How many files the change touches, without documentation."""
        return sum(not name.startswith("docs/") for name in self.touched)

    def edit(self, file: str, *replacements: tuple[str, str]) -> None:
        """Replaces the first occurrence of each text in a file."""
        self._touch(file)
        path = self.folder / file
        text = path.read_text()
        for old, new in replacements:
            assert old in text, f"{file}: {old}"
            text = text.replace(old, new, 1)
        path.write_text(text)

    def add(self, file: str, text: str) -> None:
        """Adds a file, or lines at the end of one."""
        self._touch(file)
        path = self.folder / file
        path.write_text((path.read_text() if path.exists() else "") + text)

    def run(self, code: str, **variables: str) -> str:
        """What a script prints that runs in the copy."""
        return self._python("-c", code, **variables)

    def module(self, name: str) -> None:
        self._python("-m", name)

    def passes(self, *tests: str, only: str = "") -> None:
        """The copy's own tests pass, those whose names match `only`."""
        choice = ("-k", only) if only else ()
        self._python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *choice, *tests)

    def _touch(self, file: str) -> None:
        assert any(file == each or (each.endswith("/") and file.startswith(each)) for each in self._allowed), (
            f"{file} is none of {self._allowed}"
        )
        self.touched.add(file)

    def _python(self, *arguments: str, **variables: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("STRIATE_", "PYTEST"))}
        environment |= variables | {"PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout


def _ignored(folder: str, names: list[str]) -> set[str]:
    here = Path(folder).relative_to(ROOT).as_posix()
    return {name for name in names if name == "__pycache__" or f"{here}/{name}" in _LARGE}
