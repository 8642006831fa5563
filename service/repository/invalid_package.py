"""Invalid packages: folders that cannot be served, with a name and a reason that can be printed."""

from dataclasses import dataclass
from pathlib import Path

_MAX_CHARACTERS = 300  # of a name or a reason


@dataclass(frozen=True, slots=True)
class InvalidPackage:
    """A package folder that cannot be served, and the reason."""

    name: str
    version: str
    reason: str

    @classmethod
    def of(cls, folder: Path, error: Exception) -> "InvalidPackage":
        """Names may be any bytes but a slash, and are printed here; reasons are cut, since a package words them too."""
        reason = str(error) or type(error).__name__
        return cls(*(printed(text) for text in (folder.parent.name, folder.name, reason)))


def printed(text: str) -> str:
    """Returns its first characters, with escapes in place of those that cannot be printed."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:_MAX_CHARACTERS])
