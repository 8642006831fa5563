"""Memory of API keys: a service that has had keys does not start without them."""

import os
from pathlib import Path

from service.settings import PREFIX, InvalidSettings, Settings

MARKER = "had_api_keys"
_TEXT = "This service has had API keys. It does not start without them until this file is deleted.\n"


def check_key_memory(settings: Settings) -> None:
    """Notes in the state folder that there are keys. Raises InvalidSettings if there were some and are none now.

    An upgrade, or a start from another folder, easily loses the file of settings that named the keys, and the service
    would open to everybody without a sign. No other setting overrules the note, because such a file sets that one too.
    """
    if not settings.state:
        return
    marker = Path(settings.state) / MARKER
    if not settings.keys and _remembered(marker):
        raise InvalidSettings(
            f"{PREFIX}KEYS is empty, but this service has had API keys. Set it again (with compose, COMPOSE_FILE in "
            f".env names deploy/docker-compose.keys.yml), or delete {marker} to serve without keys from now on."
        )
    if settings.keys and not _remembered(marker):
        _remember(marker)


def _remembered(marker: Path) -> bool:
    """Returns whether the folder has the marker; a folder that cannot be read may have it, and ends the start."""
    try:
        return marker.name in os.listdir(marker.parent)
    except OSError as error:
        raise InvalidSettings(f"{PREFIX}STATE={marker.parent}: {error.strerror}; it must be a folder.") from error


def _remember(marker: Path) -> None:
    try:
        marker.write_text(_TEXT, encoding="utf-8")
    except OSError as error:
        raise InvalidSettings(
            f"{PREFIX}STATE={marker.parent}: {error.strerror}; the service must be able to write to this folder."
        ) from error
