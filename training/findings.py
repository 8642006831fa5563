"""Findings of the data audit, and which of them a recipe may allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from training.data.examples import DataError

FindingName = Literal[
    "shared_groups",
    "duplicates",
    "near_duplicates",
    "missing_classes",
    "label_from_size",
    "label_from_format",
    "label_from_borders",
    "label_from_tags",
    "masks",
    "unreadable",
]
NAMES: tuple[str, ...] = get_args(FindingName)
NOT_ALLOWABLE = ("masks", "unreadable")  # training cannot read these data
ALLOWABLE = tuple(name for name in NAMES if name not in NOT_ALLOWABLE)
MAX_CASES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of the data. cases: one line each, with file names. severity: a warning does not stop training."""

    name: FindingName
    summary: str
    cases: tuple[str, ...]
    remedy: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        more = [f"... and {len(self.cases) - MAX_CASES} more"] if len(self.cases) > MAX_CASES else []
        lines = [f"{self.name} ({self.severity}): {self.summary}", *self.cases[:MAX_CASES], *more, self.remedy]
        return "\n    ".join(lines)


class AuditFailed(DataError):
    """The data have faults that the recipe does not allow; the message lists them."""


def check_allowed(findings: Sequence[Finding], *, allow: Mapping[FindingName, str]) -> dict[str, str]:
    """Returns the allowed findings with their reasons. Raises AuditFailed if an error is not allowed."""
    errors = [finding for finding in findings if finding.severity == "error"]
    stopping = [finding for finding in errors if finding.name not in allow]
    if stopping:
        names = " ".join(dict.fromkeys(finding.name for finding in stopping if finding.name not in NOT_ALLOWABLE))
        hint = f"\nTo train anyway, add --allow {names}; the package will record it." if names else ""
        raise AuditFailed("\n".join(map(str, stopping)) + hint)
    return {finding.name: allow[finding.name] for finding in errors}
