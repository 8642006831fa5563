"""The glossary: terms in alphabetical order, each with one sentence."""

import re

import pytest

from tests.serving import ROOT

ROWS = re.findall(r"^\| (?!term |---)(.+?) \| (.+) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
# The words of the wire, the log and the recipes.
WORDS = "inactive invalid unloaded rejected canary shadow multiclass multilabel semantic multilabel_semantic instance"


def test_its_terms_are_in_alphabetical_order_and_unique() -> None:
    terms = [re.sub(r"\W", "", term.replace("_", "")).lower() for term, _ in ROWS]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize(("term", "meaning"), ROWS)
def test_a_term_has_one_sentence(term: str, meaning: str) -> None:
    assert meaning.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", meaning), term


def test_the_words_of_the_interface_are_explained() -> None:
    assert set(WORDS.split()) <= {term for term, _ in ROWS}
