"""What an audit says: one thing that it found, and whether that stops a training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from training.data.examples import DataError

Name = Literal[
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
NAMES: tuple[str, ...] = get_args(Name)
NEVER = ("masks", "unreadable")  # no training can read them
ALLOWABLE = tuple(name for name in NAMES if name not in NEVER)
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """what: a sentence with the figures. cases: a line each, naming files. weight: advice is said and stops nothing."""

    name: Name
    what: str
    cases: tuple[str, ...]
    remedy: str
    weight: Literal["refused", "advice"] = "refused"

    def __str__(self) -> str:
        more = [f"... and {len(self.cases) - SHOWN} more"] if len(self.cases) > SHOWN else []
        lines = [f"{self.name} ({self.weight}): {self.what}", *self.cases[:SHOWN], *more, self.remedy]
        return "\n    ".join(lines)


class Refused(DataError):
    """The data have faults that nobody has allowed; the message lists them."""


def clear(findings: Sequence[Finding], *, allow: Mapping[Name, str]) -> dict[str, str]:
    """-> the findings that were allowed, each with its reason. Raises Refused where one is not."""
    grave = [finding for finding in findings if finding.weight == "refused"]
    stopping = [finding for finding in grave if finding.name not in allow]
    if stopping:
        names = " ".join(dict.fromkeys(finding.name for finding in stopping if finding.name not in NEVER))
        hint = f"\n--allow {names} trains all the same, and the package will say so." if names else ""
        raise Refused("\n".join(map(str, stopping)) + hint)
    return {finding.name: allow[finding.name] for finding in grave}
