import sys
from pathlib import Path

import pytest

from benchmarks.processes import free_port, serving


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is painted green')"]
    with (
        pytest.raises(RuntimeError, match="painted green"),
        serving(command, port=free_port(), ready="/", folder=tmp_path, environment={}),
    ):
        raise AssertionError("it never serves")
