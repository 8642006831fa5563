"""Python environments for tools whose pins do not go together with ours: each of its own, under build/, made once."""

import subprocess
import sys
from pathlib import Path

from tests.serving import ROOT

COMPILING = {"PYTHONDONTWRITEBYTECODE": ""}  # what its programs import is compiled when they first do


def environment_of(name: str, *packages: str) -> Path:
    """Returns the bin folder of build/<name>, where these packages are installed.

    By our own pip, and not compiled: most modules are never imported, and to compile them takes longer than the rest.
    """
    home, wanted = ROOT / "build" / name, "\n".join(packages)
    installed = home / "installed"
    if not installed.exists() or installed.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", home], check=True)
        pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python"]
        subprocess.run([*pip, "install", "--quiet", "--no-compile", *packages], check=True, timeout=600)
        installed.write_text(wanted)
    return home / "bin"
