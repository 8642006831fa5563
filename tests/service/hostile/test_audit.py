"""Tests of an audit log that somebody else writes to, under a service and under random changes."""

import json
import os
import random
import subprocess
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from service.security.audit_chain import BrokenChain, ChainLink, format_head, head_of, rotated_files, rotated_name
from service.security.audit_log import AuditLog
from service.security.audit_verification import LinesLost, verify
from service.settings import AuditGap
from tests.conftest import Client
from tests.service.image_files import form, grey
from tests.service.security.written_log import lines_of
from tests.service.service_processes import children, until
from tests.serving import request_anew, served

Change = Callable[[Path], object]


def add(content: bytes) -> Change:
    def change(path: Path) -> None:
        with path.open("ab") as file:
            file.write(content)

    return change


def endless(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(100 * 2**20)


def in_place_of(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


ENDS: dict[str, tuple[Change, str]] = {  # what happens to a log of three lines -> what /readyz says
    "no JSON": (add(b"{\n"), "the last line of audit.jsonl cannot be read"),
    "no object": (add(b"3\n"), "the last line of audit.jsonl cannot be read"),
    "no number": (add(b'{"former":"a"}\n'), "the last line of audit.jsonl cannot be read"),
    "a number that is text": (add(b'{"n":"4","former":"a"}\n'), "the last line of audit.jsonl has the number '4'"),
    "nested": (add(b"[" * 500_000 + b"\n"), "the last line of audit.jsonl cannot be read"),
    "an empty line": (add(b"\n"), "the last line of audit.jsonl cannot be read"),
    "no line feed": (add(b"PNG"), "ends in b'PNG', which is no line of the log"),
    "100 MB without a line feed": (endless, "the last 2097152 bytes are not lines of the log"),
    "another log's line": (add(b'{"n":4,"former":"a"}\n'), "line 4 does not match the digest of the line before it"),
    "another log's later line": (add(b'{"n":40,"former":"a"}\n'), "expected line 4, found line 40"),
    "nothing": (lambda path: path.write_bytes(b""), "lines 1 to 3 are missing at the end of audit.jsonl"),
    "a pipe": (lambda path: in_place_of(path, os.mkfifo), "audit.jsonl is not a regular file"),
    "a folder": (lambda path: in_place_of(path, os.mkdir), "Is a directory"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", ENDS)
async def test_answers_are_withheld_until_the_operator_moves_the_file(
    serving: Client, tmp_path: Path, case: str
) -> None:
    path = tmp_path / "audit.jsonl"
    change, reason = ENDS[case]
    async with serving(audit=str(path)) as http:
        for _ in range(3):
            assert (await http.post("/predict", files=form(grey(204)))).status_code == 200
        change(path)
        for _ in range(2):
            withheld = await http.post("/predict", files=form(grey(204)))
            ready, reads = await http.get("/readyz"), await http.get("/models")
            assert (withheld.status_code, withheld.json()["code"]) == (503, "audit_unavailable")
            assert "bright" not in withheld.text
            assert (ready.status_code, ready.json()["code"], reads.status_code) == (503, "not_ready", 200)
            assert reason in ready.json()["error"]
            assert str(tmp_path) not in ready.json()["error"]
        with pytest.raises(BrokenChain):
            verify(path)
        path.rename(rotated_name(path, 3))
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.post("/predict", files=form(grey(204)))).status_code == 200
    rotated_name(path, 3).rename(tmp_path / "archived")
    assert verify(path, first=4).number == 5


def random_bytes(chance: random.Random, content: bytes) -> bytes:
    place = chance.randrange(len(content) + 1)
    return content[:place] + chance.randbytes(chance.randrange(1, 300)) + content[place + chance.randrange(3) :]


def swapped(chance: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    chance.shuffle(lines)
    return b"".join(lines)


def doubled(chance: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines, *chance.sample(lines, min(1, len(lines)))])


def without(chance: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if chance.random() < 0.7)


def cut(chance: random.Random, content: bytes) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def cut_lines(chance: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: chance.randrange(len(lines) + 1)])


def changed(chance: random.Random, content: bytes) -> bytes:
    place = chance.randrange(max(1, len(content)))
    return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]


ALTERATIONS = (random_bytes, swapped, doubled, without, cut, cut_lines, changed)


def manipulate(chance: random.Random, path: Path) -> None:
    """Changes or removes a file of the log, or its head; a head may become one that was valid before."""
    file = chance.choice([path, path, head_of(path), *rotated_files(path)])
    content = file.read_bytes() if file.exists() else b""
    if file == head_of(path) and chance.random() < 0.5:
        links = [ChainLink(json.loads(line)["n"], sha256(line).hexdigest()) for line in lines_of(path)]
        file.write_bytes(format_head(chance.choice(links)))
    elif chance.random() < 0.1:
        file.unlink(missing_ok=True)
    else:
        file.write_bytes(chance.choice(ALTERATIONS)(chance, content))


@pytest.mark.parametrize("seed", range(300))
def test_verification_finds_every_random_change(tmp_path: Path, seed: int) -> None:
    """Only a log that is consistent in itself passes: one that has every line, or one that an anchor finds."""
    chance, path = random.Random(seed), tmp_path / "audit.jsonl"
    gap: AuditGap = chance.choice(["refuse", "record"])
    file_bytes = chance.choice([400, 2**20])
    logs = [AuditLog(path, file_bytes=file_bytes, gap=gap) for _ in range(chance.choice([1, 2]))]
    for number in range(chance.randrange(2, 12)):
        chance.choice(logs).append({"status": number})
    anchor, before = verify(path), lines_of(path)
    manipulate(chance, path)
    if chance.random() < 0.5:
        logs = [AuditLog(path, file_bytes=file_bytes, gap=gap) for _ in logs]  # restarted
    for number in range(chance.randrange(6)):
        with suppress(BrokenChain):
            chance.choice(logs).append({"status": number})
    with suppress(BrokenChain):
        last = verify(path)
        if lines_of(path)[: len(before)] == before:
            assert last.number >= anchor.number
        else:
            with pytest.raises(BrokenChain):
                verify(path, anchor=anchor)


@pytest.mark.anyio
async def test_a_service_may_record_what_is_lost_and_go_on(serving: Client, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with serving(audit=str(path), audit_gap="record") as http:
        for _ in range(3):
            await http.post("/predict", files=form(grey(204)))
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.post("/predict", files=form(grey(204)))).status_code == 200
    with pytest.raises(LinesLost, match="lines 2-3 are lost"):
        verify(path)
    assert verify(path, known_lost=[(2, 3)]).number == 5


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return children(process, "_bentoml_impl.worker.service")


@pytest.mark.slow
def test_two_front_ends_and_one_that_is_restarted_miss_the_lines_that_were_cut(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    variables = {"STRIATE_MODELS": str(root), "STRIATE_AUDIT": str(path), "STRIATE_FRONT_ENDS": "2"}
    with served(tmp_path / "log", **variables) as (http, process):

        def statuses(method: str, route: str) -> set[int]:
            """Of ten requests over new connections, which go to either front end."""
            sent = {"files": form(grey(204)), "data": {"model": "brightness"}} if method == "POST" else {}
            return {request_anew(method, http.base_url.join(route), **sent).status_code for _ in range(10)}

        assert statuses("POST", "/predict") == {200}
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:7]))
        assert statuses("GET", "/readyz") == {503}  # before any answer was withheld
        assert statuses("POST", "/predict") == {503}
        first, other = workers(process)
        first.kill()
        until(lambda: len(workers(process)) == 2 and {first, other} - set(workers(process)) == {first})
        until(lambda: (tmp_path / "log").read_text().count('"event":"ready"') == 3)
        assert statuses("POST", "/predict") == {503}
        assert "lines 8 to 10 are missing at the end of audit.jsonl" in http.get("/readyz").text
        with pytest.raises(BrokenChain, match="the log ends at line 7 without 10:"):
            verify(path)
        path.rename(rotated_name(path, 10))
        assert statuses("GET", "/readyz") == {200}
        assert statuses("POST", "/predict") == {200}
    rotated_name(path, 10).rename(tmp_path / "archived")
    assert verify(path, first=11).number >= 20
