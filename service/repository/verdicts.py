"""Verdicts on version folders: loaded, valid but not in use, or invalid, each for the folder's stamp."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from models.errors import PackageError, StriateError
from models.package import RDF
from service.repository import scan
from service.repository.invalid_package import InvalidPackage
from service.repository.network_loading import is_transient
from service.repository.scan import Stamp
from service.repository.state import InactivePackage, ServedModel
from service.telemetry.log import log

Verdict = ServedModel | InactivePackage | InvalidPackage
T = TypeVar("T", bound=Verdict)
_NO_TEXT = PackageError("The names of its folders are not UTF-8.")
_INCOMPLETE = PackageError(f"{RDF} cannot be read: it is missing, or its folder cannot be read.")


class Verdicts:
    """No stamp marks a verdict that is checked again by the next refresh."""

    def __init__(self) -> None:
        self._verdicts: dict[Path, tuple[Stamp | None, Verdict]] = {}

    def of(self, folder: Path) -> Verdict | None:
        return self._verdicts.get(folder, (None, None))[1]

    def accept(self, folder: Path, stamp: Stamp, verdict: ServedModel | InactivePackage) -> None:
        self._verdicts[folder] = stamp, verdict

    def refuse(self, folder: Path, stamp: Stamp, error: Exception) -> None:
        """Records why a folder cannot be served; what was not foreseen is logged as the bug that it is, too."""
        if not isinstance(error, StriateError | OSError | MemoryError):
            log.exception(error, request_id="models")
        self._verdicts[folder] = None if is_transient(error) else stamp, InvalidPackage.of(folder, error)

    def refuse_unproved(self, folders: Mapping[Path, Stamp]) -> None:
        """Refuses the folders that need no proof: those without a description, and those whose names are no text."""
        for folder, stamp in folders.items():
            if self.of(folder):
                continue
            if not scan.is_text(folder):
                self.refuse(folder, stamp, _NO_TEXT)
            elif not scan.has_description(stamp):
                self.refuse(folder, stamp, _INCOMPLETE)

    def discard(self, folders: Mapping[Path, Stamp], *, retry_invalid: bool) -> None:
        """Discards the verdicts on changed folders and, after an operator's change, on invalid packages."""
        for folder, (stamp, verdict) in list(self._verdicts.items()):
            if folders.get(folder) != stamp or (retry_invalid and isinstance(verdict, InvalidPackage)):
                del self._verdicts[folder]

    def must_retry(self) -> bool:
        return any(stamp is None for stamp, _ in self._verdicts.values())

    def every(self, kind: type[T], folders: Mapping[Path, Stamp]) -> tuple[T, ...]:
        """Returns the verdicts of this kind, in the order of the folders."""
        return tuple(verdict for verdict in map(self.of, folders) if isinstance(verdict, kind))
