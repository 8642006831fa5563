"""Tests of duplicates: pairs across splits and within one, and the examples that have a copy elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from models.image import Array
from tests.training.audit.audit_images import files, folders, found, texture
from training.audit.duplicates import exact_duplicates, near_duplicates, with_copies_in_other_splits
from training.audit.image_facts import ImageFacts, inspect_example
from training.data.examples import DataError, Example, Split, constant


def test_a_copy_within_a_split_is_a_warning(tmp_path: Path) -> None:
    image = files(tmp_path)[-1]
    image.with_name("p900_1.png").write_bytes(image.read_bytes())
    (finding,) = found(folders(tmp_path))
    assert (finding.name, finding.severity) == ("duplicates", "warning")
    assert "p900_1.png" in finding.cases[0]


def fact(name: str, split: Split, picture: Array, *, label: int = 0) -> ImageFacts:
    example = Example(name, name, "", None, constant(picture[:, :, None]), constant(label))
    return inspect_example(example, split, task="multiclass")


def unreadable(name: str) -> ImageFacts:
    def fail() -> Array:
        raise DataError(f"{name} is damaged.")

    return inspect_example(Example(name, name, "", None, fail, constant(0)), "train", task="multiclass")


A, B, C = texture(1), texture(2), texture(3)


@pytest.mark.parametrize(
    ("facts", "findings"),
    [
        ([fact("a", "train", A), fact("b", "test", B)], []),
        (
            [fact("a", "train", A), fact("b", "test", A)],
            [("error", ("train: a = test: b",))],
        ),
        (
            [fact("a", "test", A), fact("b", "test", A, label=1)],
            [("warning", ("test: a = test: b; their labels differ",))],
        ),
        (
            [fact("a", "train", A), fact("b", "train", A), fact("c", "validation", A)],
            [("error", ("train: a = validation: c",)), ("warning", ("train: a = train: b",))],
        ),
        ([unreadable("a"), unreadable("b")], []),  # not equal for being unknown
    ],
    ids=["other pictures", "across", "within", "both", "unreadable"],
)
def test_equal_pixels_are_an_error_across_splits_and_a_warning_within_one(
    facts: list[ImageFacts], findings: list[tuple[str, tuple[str, ...]]]
) -> None:
    pairs = exact_duplicates(facts)
    assert [(finding.severity, finding.cases) for finding in pairs] == findings
    assert {finding.name for finding in pairs} <= {"duplicates"}


def test_a_mirrored_copy_is_near_and_says_how() -> None:
    facts = [fact("a", "train", A), fact("b", "test", A[:, ::-1]), fact("c", "train", B), fact("d", "test", A)]
    (finding,) = near_duplicates(facts[:3])
    (case,) = finding.cases
    assert (finding.name, finding.severity) == ("near_duplicates", "error")
    assert case.startswith("train: a = test: b (mirrored left to right, correlation 1.000")
    assert near_duplicates([facts[0], facts[3]]) == []  # equal, so not near


def test_a_copy_of_a_copy_counts_in_every_split() -> None:
    """a and b are equal, c is b mirrored; d has a copy in its own split alone."""
    facts = [
        fact("a", "train", A),
        fact("b", "test", A),
        fact("c", "validation", A[:, ::-1]),
        fact("d", "test", C),
        fact("e", "test", np.flipud(C)),
    ]
    copied = {split: set(with_copies_in_other_splits(facts, split)) for split in ("train", "validation", "test")}
    assert copied == {"train": {"a"}, "validation": {"c"}, "test": {"b"}}
