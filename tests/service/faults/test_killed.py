"""kill -9 of each kind of process under load: what was in flight is lost at most, and the rest is answered rightly."""

import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from tests.service.faults.callers import callers
from tests.service.service_processes import children, engines, suspended, until
from tests.serving import request_anew, served

pytestmark = pytest.mark.slow
CALLERS = 8
WORKER = "_bentoml_impl.worker.service"


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return children(process, WORKER)


CASES = {
    "the only worker": ("1", workers, {"not_ready"}, CALLERS),
    "one of two front ends": ("2", workers, {"not_ready"}, CALLERS),
    "the engine of two front ends": ("2", engines, {"not_ready"}, 0),
}


def ready(http: httpx.Client) -> int:
    """The status of /readyz over a new connection; 0 where it is not answered, as a probe sees it."""
    try:
        return request_anew("GET", http.base_url.join("/readyz"), timeout=2).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("case", CASES)
def test_who_is_killed_comes_again(root: Path, tmp_path: Path, case: str) -> None:
    front_ends, kind, codes, lost = CASES[case]
    variables = {"STRIATE_MODELS": str(root), "STRIATE_FRONT_ENDS": front_ends}
    with served(tmp_path / "log", **variables) as (http, process):
        until(lambda: len(workers(process)) == int(front_ends))
        with callers(http.base_url, count=CALLERS) as told:
            until(lambda: told.right > 4 * CALLERS)
            before = kind(process)
            with suspended(process):  # so that nothing comes again before it has been seen that it went
                before[0].kill()
                if len(before) == 1:  # nobody serves, and no probe may say so
                    until(lambda: 200 not in [ready(http) for _ in range(4)])
            until(lambda: len(kind(process)) == len(before))
            until(lambda: [ready(http) for _ in range(8)] == 8 * [200])
            after = told.right
            until(lambda: told.right > after + 4 * CALLERS)
    assert told.wrong == []
    assert len(told.lost) <= lost
    assert set(told.errors) <= codes
