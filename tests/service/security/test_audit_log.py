"""Tests of the audit log: the chain of digests, crashes, full disks and concurrent writers."""

import errno
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from service.security import audit_log
from service.security.audit_chain import ChainLink
from service.security.audit_log import AuditLog
from service.security.audit_verification import verify
from tests.service.security.written_log import BIG, lines_of, write_log

ROOT = Path(__file__).parents[3]


def test_each_line_holds_the_digest_of_the_line_before_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 3)
    lines = lines_of(path)
    assert [json.loads(line)["n"] for line in lines] == [1, 2, 3]
    digests = [sha256(line).hexdigest() for line in lines]
    assert [json.loads(line)["former"] for line in lines] == ["0" * 64, *digests[:2]]
    assert verify(path) == ChainLink(3, digests[2])
    assert path.stat().st_mode & 0o077 == 0  # nobody else's to read


def test_a_restart_continues_and_drops_the_partial_line_of_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 2).close()
    with path.open("ab") as file:
        file.write(b'{"n":3,"time":"20')  # its answer never went out
    write_log(path, 2)
    assert verify(path).number == 4


def test_a_crash_between_a_line_and_the_head_is_no_change(tmp_path: Path) -> None:
    path, head = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.head"
    log = write_log(path, 2)
    former = head.read_bytes()
    log.append({})
    head.write_bytes(former)
    assert verify(path).number == 3
    write_log(path, 1)
    assert verify(path).number == 4


def test_lines_longer_than_one_read_of_the_tail(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(3):
        log = AuditLog(path, file_bytes=BIG)
        log.append({"inputs": ["0" * 64] * 1000})
        log.close()
    assert verify(path).number == 3


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = (
        "import sys; from pathlib import Path; from service.security.audit_log import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]), file_bytes=4096)\n"
        "for number in range(200): log.append({'key': sys.argv[2], 'status': number})"
    )
    command = [sys.executable, "-c", code, str(path)]
    writers = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("a", "b", "c")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert verify(path).number == 600
    lines = [json.loads(line) for line in lines_of(path)]
    for name in ("a", "b", "c"):
        assert [line["status"] for line in lines if line["key"] == name] == list(range(200))
    assert all(file.stat().st_size <= 4096 for file in tmp_path.glob("audit.jsonl.0*"))


def test_a_partly_written_line_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    log = write_log(path, 2)

    def half(file: int, line: bytes) -> None:
        os.write(file, line[: len(line) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "write_all", half)
        with pytest.raises(OSError, match="No space"):
            log.append({})
    assert verify(path).number == 2
    log.append({})
    assert verify(path).number == 3


FILL = """
import resource, sys
from pathlib import Path
from service.security.audit_log import AuditLog
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
log = AuditLog(Path(sys.argv[1]), file_bytes=2**30)
written = 0
try:
    while True:
        log.append({})
        written += 1
except OSError:
    print(written)
"""


def test_the_log_stays_intact_at_the_file_size_limit(tmp_path: Path) -> None:
    """Has the kernel write a part of the last line first, as on a full disk."""
    path = tmp_path / "audit.jsonl"
    done = subprocess.run([sys.executable, "-c", FILL, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) == verify(path).number
    assert path.read_bytes().endswith(b"\n")
    write_log(path, 1)
    assert verify(path).number == int(done.stdout) + 1


WRITE = """
import sys
from pathlib import Path
from service.security.audit_log import AuditLog
log = AuditLog(Path(sys.argv[1]), file_bytes=5000)
while True:
    log.append({"padding": "0" * 700})
    print(flush=True)
"""


def test_a_killed_writer_leaves_an_intact_log(tmp_path: Path) -> None:
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
