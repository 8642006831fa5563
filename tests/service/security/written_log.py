"""Audit log with some lines."""

from pathlib import Path

from service.security.audit_log import AuditLog

BIG = 2**30


def write_log(path: Path, count: int, *, file_bytes: int = BIG) -> AuditLog:
    log = AuditLog(path, file_bytes=file_bytes)
    for number in range(count):
        log.append({"status": 200 + number})
    return log
