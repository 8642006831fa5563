"""Tests of the audit's findings: what is said of them, and which a recipe may allow."""

import pytest

from training.findings import ALLOWABLE, NAMES, NOT_ALLOWABLE, AuditFailed, Finding, check_allowed

COPIES = Finding("duplicates", "2 pairs are identical.", ("a = b", "c = d"), "Remove one of each pair.")
BORDERS = Finding("label_from_borders", "The border tells the label.", (), "Crop it.")
MASKS = Finding("masks", "1 mask has another size.", ("a",), "Draw it anew.")
WARNING = Finding("near_duplicates", "1 pair is nearly identical.", (), "Remove one.", severity="warning")


def test_what_cannot_be_read_cannot_be_allowed() -> None:
    assert sorted([*ALLOWABLE, *NOT_ALLOWABLE]) == sorted(NAMES)
    assert not set(ALLOWABLE) & set(NOT_ALLOWABLE)


@pytest.mark.parametrize(("count", "more"), [(1, []), (5, []), (6, ["... and 1 more"]), (20, ["... and 15 more"])])
def test_a_finding_lists_five_cases_and_counts_the_rest(count: int, more: list[str]) -> None:
    finding = Finding("masks", "Masks differ.", tuple(f"case {n}" for n in range(count)), "Draw them anew.")
    first, *lines = str(finding).split("\n    ")
    assert first == "masks (error): Masks differ."
    assert lines == [*(f"case {n}" for n in range(min(count, 5))), *more, "Draw them anew."]


def test_what_is_allowed_is_returned_with_its_reason() -> None:
    """Of what was found alone; a warning stops nothing, so it needs no reason."""
    allow = {"duplicates": "known", "label_from_size": "not found", "near_duplicates": "a warning"}
    assert check_allowed([COPIES, WARNING], allow=allow) == {"duplicates": "known"}
    assert check_allowed([WARNING], allow={}) == check_allowed([], allow={}) == {}


@pytest.mark.parametrize(
    ("findings", "allow", "hint"),
    [
        ([COPIES, BORDERS, COPIES], {}, "add --allow duplicates label_from_borders;"),  # each once
        ([COPIES, BORDERS], {"duplicates": "known"}, "add --allow label_from_borders;"),
        ([COPIES, MASKS], {}, "add --allow duplicates;"),
        ([MASKS], {}, ""),
    ],
)
def test_what_is_not_allowed_stops_and_says_how_to_allow_it(
    findings: list[Finding], allow: dict[str, str], hint: str
) -> None:
    with pytest.raises(AuditFailed) as caught:
        check_allowed(findings, allow=allow)  # type: ignore[arg-type]
    message = str(caught.value)
    assert [str(finding) in message for finding in findings] == [finding.name not in allow for finding in findings]
    assert hint in message
    assert ("--allow" in message) == bool(hint)
