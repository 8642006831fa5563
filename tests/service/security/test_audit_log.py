"""The audit log: what a line says, that every change is found, and that no answer is without its line."""

import asyncio
import errno
import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.http.middleware.access_log import RequestContext
from service.http.middleware.auditing import AuditMiddleware
from service.manage.__main__ import main
from service.security import audit_log
from service.security.api_keys import new_key
from service.security.audit_log import NOTHING, AuditLog, Broken, Last, verify
from service.settings import InvalidSettings
from tests.conftest import Client
from tests.service.image_files import form, grey

ROOT = Path(__file__).parents[3]
BIG = 2**30


def written(path: Path, count: int, *, file_bytes: int = BIG) -> AuditLog:
    trail = AuditLog(path, file_bytes=file_bytes)
    for number in range(count):
        trail.append({"status": 200 + number})
    return trail


def lines_of(path: Path) -> list[bytes]:
    files = [*sorted(path.parent.glob(path.name + ".0*")), path]
    return b"".join(file.read_bytes() for file in files).splitlines()


def test_each_line_holds_the_digest_of_the_line_before_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 3)
    lines = lines_of(path)
    assert [json.loads(line)["n"] for line in lines] == [1, 2, 3]
    digests = [sha256(line).hexdigest() for line in lines]
    assert [json.loads(line)["former"] for line in lines] == ["0" * 64, *digests[:2]]
    assert verify(path) == Last(3, digests[2])
    assert path.stat().st_mode & 0o077 == 0  # nobody else's to read


CHANGES = {
    "a line removed at the beginning": lambda lines: lines[1:],
    "a line removed in the middle": lambda lines: lines[:3] + lines[4:],
    "a line removed at the end": lambda lines: lines[:-1],
    "all lines removed": lambda _: [],
    "two lines swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
    "a line twice": lambda lines: [lines[0], *lines],
    "a line changed at the beginning": lambda lines: [lines[0].replace(b"200", b"201"), *lines[1:]],
    "a line changed in the middle": lambda lines: [*lines[:3], lines[3].replace(b"203", b"200"), *lines[4:]],
    "a line changed at the end": lambda lines: [*lines[:-1], lines[-1].replace(b"207", b"200")],
    "a line cut short": lambda lines: [*lines[:-1], lines[-1][:-9]],
    "a line added at the end": lambda lines: [*lines, lines[-1]],
    "a line that is no JSON": lambda lines: [*lines[:2], b"{", *lines[3:]],
    "a line that is no object": lambda lines: [*lines[:2], b"3", *lines[3:]],
}


@pytest.mark.parametrize("file_bytes", [BIG, 300])
@pytest.mark.parametrize("case", CHANGES)
def test_any_change_is_found(tmp_path: Path, case: str, file_bytes: int) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 8, file_bytes=file_bytes)
    assert verify(path).number == 8
    files = [*sorted(tmp_path.glob("audit.jsonl.0*")), path]
    assert len(files) == (1 if file_bytes == BIG else 4)
    changed = CHANGES[case](lines_of(path))
    for file in files[:-1]:
        file.unlink()
    path.write_bytes(b"".join(line + b"\n" for line in changed))
    with pytest.raises(Broken):
        verify(path)


def test_a_whole_file_that_is_gone_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 8, file_bytes=300)
    first, second, *_ = sorted(tmp_path.glob("audit.jsonl.0*"))
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(Broken, match="where line 3 belongs is line 5"):
        verify(path)
    second.write_bytes(kept)
    first.unlink()
    with pytest.raises(Broken, match="where line 1 belongs is line 3"):
        verify(path)
    assert verify(path, first=3).number == 8  # the operator moved it to an archive
    path.with_name("audit.jsonl.head").unlink()
    with pytest.raises(Broken, match="head"):
        verify(path, first=3)


def test_a_log_written_anew_is_found_by_a_line_that_was_noted_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 4)
    noted = verify(path)
    written(path, 4)
    assert verify(path, anchor=noted).number == 8
    for file in tmp_path.iterdir():
        file.unlink()
    trail = AuditLog(path, file_bytes=BIG)
    for _ in range(8):
        trail.append({"status": 200})
    assert verify(path).number == 8  # by itself it is whole
    with pytest.raises(Broken, match=f"lacks 4:{noted.sha256}"):
        verify(path, anchor=noted)


def test_the_command_line_says_whether_it_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 2)
    assert main(["audit", "verify", str(path)]) == 0
    anchor = capsys.readouterr().out.split()[-1]
    assert main(["audit", "verify", str(path), "--anchor", anchor]) == 0
    path.write_bytes(path.read_bytes().replace(b":201,", b":200,"))
    assert main(["audit", "verify", str(path)]) == 1
    assert "lines at the end were removed or changed" in capsys.readouterr().err
    assert main(["audit", "verify", str(tmp_path / "nowhere")]) == 1


def test_a_restart_goes_on_and_drops_the_half_line_of_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 2).close()
    with path.open("ab") as file:
        file.write(b'{"n":3,"time":"20')  # its answer never went out
    written(path, 2)
    assert verify(path).number == 4


def test_a_crash_between_a_line_and_the_head_is_no_change(tmp_path: Path) -> None:
    path, head = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.head"
    trail = written(path, 2)
    former = head.read_bytes()
    trail.append({})
    head.write_bytes(former)
    assert verify(path).number == 3
    written(path, 1)
    assert verify(path).number == 4


def test_lines_longer_than_a_look_at_the_tail_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(3):
        trail = AuditLog(path, file_bytes=BIG)
        trail.append({"inputs": ["0" * 64] * 1000})
        trail.close()
    assert verify(path).number == 3


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = (
        "import sys; from pathlib import Path; from service.security.audit_log import AuditLog\n"
        "trail = AuditLog(Path(sys.argv[1]), file_bytes=4096)\n"
        "for number in range(200): trail.append({'key': sys.argv[2], 'status': number})"
    )
    command = [sys.executable, "-c", code, str(path)]
    writers = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("a", "b", "c")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert verify(path).number == 600
    lines = [json.loads(line) for line in lines_of(path)]
    for name in ("a", "b", "c"):
        assert [line["status"] for line in lines if line["key"] == name] == list(range(200))
    assert all(file.stat().st_size <= 4096 for file in tmp_path.glob("audit.jsonl.0*"))


def test_a_disk_that_takes_half_a_line_keeps_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    trail = written(path, 2)

    def half(file: int, line: bytes) -> None:
        os.write(file, line[: len(line) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "_write", half)
        with pytest.raises(OSError, match="No space"):
            trail.append({})
    assert verify(path).number == 2
    trail.append({})
    assert verify(path).number == 3


FILL = """
import resource, sys
from pathlib import Path
from service.security.audit_log import AuditLog
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
trail = AuditLog(Path(sys.argv[1]), file_bytes=2**30)
written = 0
try:
    while True:
        trail.append({})
        written += 1
except OSError:
    print(written)
"""


def test_where_the_system_takes_no_more_bytes_the_log_stays_whole(tmp_path: Path) -> None:
    """The kernel itself writes a part of the last line first, as it does on a full disk."""
    path = tmp_path / "audit.jsonl"
    done = subprocess.run([sys.executable, "-c", FILL, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) == verify(path).number
    assert path.read_bytes().endswith(b"\n")
    written(path, 1)
    assert verify(path).number == int(done.stdout) + 1


WRITE = """
import sys
from pathlib import Path
from service.security.audit_log import AuditLog
trail = AuditLog(Path(sys.argv[1]), file_bytes=5000)
while True:
    trail.append({"padding": "0" * 700})
    print(flush=True)
"""


def test_a_writer_that_is_killed_leaves_a_whole_log_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    answered = 0
    for lines in (1, 7, 30):
        command = [sys.executable, "-c", WRITE, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                writer.stdout.readline()
            writer.kill()
            answered += lines + len(writer.stdout.read())
    assert 0 <= verify(path).number - answered <= 3  # a line may have been written whose answer was not yet given


@pytest.mark.anyio
async def test_a_line_says_what_was_asked_of_which_model_and_answered(serving: Client, tmp_path: Path) -> None:
    path, file = tmp_path / "audit.jsonl", tmp_path / "keys.toml"
    key, lines = new_key("viewer", ["infer"])
    file.write_text(lines)
    sent = {"X-API-Key": key, "X-Request-ID": "Erika.Mustermann"}
    async with serving(audit=str(path), keys=str(file)) as http:
        one = await http.post("/predict", files=form(grey(204), name="Mustermann.png"), headers=sent)
        two = await http.post("/predict", files=form(grey(1), b"no image"), headers=sent)
        picture = await http.post("/cam", files=form(grey(204)), headers=sent)
        wrong = await http.post("/predict", files=form(grey(1)), data={"model": "Mustermann"}, headers=sent)
        nowhere = await http.post("/Mustermann", headers=sent)
        await http.post("/predict", files=form(grey(1)))  # no key: no line, or strangers could fill the disk
        models = await http.get("/models", headers=sent)
    facts = [json.loads(line) for line in lines_of(path)]
    sha = models.json()["models"][1]["sha256"]
    assert verify(path).number == 5
    answers = [one, two, picture, wrong, nowhere]
    assert [line["status"] for line in facts] == [200, 200, 200, 404, 404] == [each.status_code for each in answers]
    assert [line["output"] for line in facts] == [sha256(each.content).hexdigest() for each in answers]
    assert [line["route"] for line in facts] == ["/predict", "/predict", "/cam", "/predict", "other"]
    assert [line["model"] for line in facts] == [sha, sha, sha, None, None]
    inputs = [[grey(204)], [grey(1), b"no image"], [grey(204)], [], []]
    assert [line["inputs"] for line in facts] == [[sha256(image).hexdigest() for image in each] for each in inputs]
    assert one.json()["input"]["sha256"] == facts[0]["inputs"][0]
    assert {line["key"] for line in facts} == {"viewer"}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", facts[0]["time"])
    assert b"Mustermann" not in path.read_bytes()


@pytest.mark.anyio
async def test_without_its_line_an_answer_is_withheld_and_then_they_go_on(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"

    def full(file: int, line: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with serving(audit=str(path)) as http:
        with monkeypatch.context() as patch:
            patch.setattr(audit_log, "_write", full)
            withheld = await http.post("/predict", files=form(grey(204)))
            health, ready = await http.get("/livez"), await http.get("/readyz")
            down = (await http.get("/metrics")).text
        ready_again = await http.get("/readyz")
        after = await http.post("/predict", files=form(grey(204)))
        metrics = (await http.get("/metrics")).text
    assert (withheld.status_code, withheld.json()["code"]) == (503, "audit_unavailable")
    assert withheld.headers["Retry-After"] == "5"
    assert "bright" not in withheld.text
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert "\nstriate_ready 0.0\n" in down
    assert [each.status_code for each in (health, ready_again, after)] == [200, 200, 200]
    assert verify(path).number == 2
    resumed, _ = map(json.loads, lines_of(path))
    assert resumed["resumed"] is True  # an answer was withheld before this
    assert "\nstriate_ready 1.0\n" in metrics
    assert 'striate_rejections_total{reason="audit_unavailable"} 1.0' in metrics
    assert 'striate_requests_total{route="/predict",status="503"} 1.0' in metrics


def test_a_log_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    from service.http.middleware import open_audit_log
    from service.settings import Settings

    with pytest.raises(InvalidSettings, match=r"STRIATE_AUDIT=.*/nowhere/audit.jsonl: it cannot be written"):
        open_audit_log(Settings(audit=str(tmp_path / "nowhere" / "audit.jsonl")))


async def streamed(_: Request) -> Response:
    async def pieces():
        for piece in (b"a", b"b", b"c"):
            yield piece

    return StreamingResponse(pieces())


async def buggy(_: Request) -> Response:
    raise LookupError


async def converse(path: str, trail: AuditLog) -> tuple[list[dict], RequestContext]:
    """What the audited application sends for a POST, as ASGI messages."""
    routes = [Route("/streamed", streamed, methods=["POST"]), Route("/buggy", buggy, methods=["POST"])]
    app = AuditMiddleware(Starlette(routes=routes).router, trail=trail)
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "exchange": RequestContext("1")}
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(dict(message))

    async def receive() -> dict:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    await app(scope, receive, send)
    return sent, scope["exchange"]


@pytest.mark.anyio
async def test_a_streamed_answer_has_its_line_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    trail = AuditLog(path, file_bytes=BIG)
    sent, _ = await converse("/streamed", trail)
    assert b"".join(message.get("body", b"") for message in sent) == b"abc"
    assert json.loads(lines_of(path)[0])["output"] == sha256(b"abc").hexdigest()

    def full(file: int, line: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audit_log, "_write", full)
    sent, _ = await converse("/streamed", trail)
    assert [message.get("more_body") for message in sent[1:]] == [True] * 3  # the server sees that its end is missing
    assert verify(path).number == 1


@pytest.mark.anyio
async def test_a_bug_has_its_line_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with pytest.raises(LookupError):
        await converse("/buggy", AuditLog(path, file_bytes=BIG))
    assert json.loads(lines_of(path)[0])["status"] == 500
    assert verify(path) != NOTHING
