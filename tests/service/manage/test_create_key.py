"""Tests of the command `key`: the lines of a new key, and the key apart from them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.manage.__main__ import main
from service.security.api_keys import KeyStore

ROOT = Path(__file__).parents[3]


def test_the_command_line_prints_the_lines_and_the_key_on_separate_streams(tmp_path: Path) -> None:
    """Uses the documented command: Prometheus takes the whole content of its file as the key."""
    command = [sys.executable, "-m", "service.manage", "key"]
    lines = ""
    for name in ("viewer", "watcher"):
        done = subprocess.run(
            [*command, name, "--scopes", "infer,operate"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert re.fullmatch(r"striate_[\w-]{43}\n", done.stderr)
        lines += done.stdout
    (tmp_path / "keys.toml").write_text(lines)
    found = KeyStore(tmp_path / "keys.toml").find(done.stderr.strip().encode())
    assert found is not None
    assert (found.name, found.scopes) == ("watcher", {"infer", "operate"})


def test_an_unknown_scope_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "viewer", "--scopes", "everything"]) == 1
    assert "scopes" in capsys.readouterr().err
