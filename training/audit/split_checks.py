"""Checks of a split: groups in several parts, classes missing from a part."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from training.audit.image_facts import ImageFacts
from training.data.examples import Example, Split
from training.findings import Finding


def shared_groups(parts: Mapping[Split, Sequence[Example]]) -> list[Finding]:
    """Finds groups (patients) with examples in more than one split."""
    files_by_group: dict[str, dict[Split, str]] = defaultdict(dict)
    for split, examples in parts.items():
        for example in examples:
            files_by_group[example.group].setdefault(split, example.name)
    shared = {group: files for group, files in files_by_group.items() if len(files) > 1}
    cases = [f"{group}: " + ", ".join(f"{s}: {file}" for s, file in files.items()) for group, files in shared.items()]
    if not cases:
        return []
    remedy = 'split.shared_groups = "drop" removes their examples from training.'
    return [Finding("shared_groups", f"{len(cases)} groups are in more than one split.", tuple(cases), remedy)]


def missing_classes(facts: Sequence[ImageFacts], *, classes: Sequence[str]) -> list[Finding]:
    """Finds classes that no label or mask of a split contains."""
    classes_shown: dict[Split, set[int]] = defaultdict(set)
    for fact in facts:
        if fact.truth is not None:
            classes_shown[fact.split] |= set(
                np.flatnonzero(fact.truth).tolist() if fact.truth.ndim else [int(fact.truth)]
            )
        classes_shown[fact.split] |= fact.present
    cases = [
        f"{split}: {label}"
        for split, present in classes_shown.items()
        for index, label in enumerate(classes)
        if present and index not in present
    ]
    if not cases:
        return []
    remedy = "A split without a class cannot score it: divide the data differently, or remove the class."
    return [Finding("missing_classes", f"Splits lack examples of classes ({len(cases)} cases).", tuple(cases), remedy)]
