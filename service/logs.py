"""One JSON object a line, of fields that we name: never a pixel, a file name or a tag of an image."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

log = logging.getLogger("striate")


class JsonLines(logging.Formatter):
    """Formats a record as JSON: time, level, event, and the fields given as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "event": record.getMessage(), **fields}
        return orjson.dumps(line, default=str).decode()


def configure(level: str) -> None:
    """Sends the service's log to standard error as JSON lines; calling it again replaces what was set."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    log.handlers = [handler]
    log.setLevel(level.upper())
    log.propagate = False
