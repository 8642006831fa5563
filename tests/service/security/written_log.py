"""Audit log with some lines, and the lines of a log."""

from pathlib import Path

from service.security.audit_log import AuditLog

BIG = 2**30


def write_log(path: Path, count: int, *, file_bytes: int = BIG) -> AuditLog:
    log = AuditLog(path, file_bytes=file_bytes)
    for number in range(count):
        log.append({"status": 200 + number})
    return log


def lines_of(path: Path) -> list[bytes]:
    files = [*sorted(path.parent.glob(path.name + ".0*")), path]
    return b"".join(file.read_bytes() for file in files if file.exists()).splitlines()
