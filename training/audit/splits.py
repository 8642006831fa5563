"""What a split must not do: part a group, or leave a class out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from training.audit.facts import Facts
from training.audit.finding import Finding
from training.data.examples import Example, Split


def shared_groups(parts: Mapping[Split, Sequence[Example]]) -> list[Finding]:
    """Groups (patients) with examples in more than one split."""
    where: dict[str, dict[Split, str]] = defaultdict(dict)
    for split, examples in parts.items():
        for example in examples:
            where[example.group].setdefault(split, example.name)
    shared = {group: files for group, files in where.items() if len(files) > 1}
    cases = [f"{group}: " + ", ".join(f"{s}: {file}" for s, file in files.items()) for group, files in shared.items()]
    if not cases:
        return []
    remedy = 'split.shared_groups = "drop" leaves their examples out of training.'
    return [Finding("shared_groups", f"{len(cases)} groups are in more than one split.", tuple(cases), remedy)]


def missing_classes(facts: Sequence[Facts], *, classes: Sequence[str]) -> list[Finding]:
    """Classes that no label or mask of a split shows, where examples say which classes they show."""
    shown: dict[Split, set[int]] = defaultdict(set)
    for fact in facts:
        if fact.truth is not None:
            shown[fact.split] |= set(np.flatnonzero(fact.truth).tolist() if fact.truth.ndim else [int(fact.truth)])
        shown[fact.split] |= fact.present
    cases = [
        f"{split}: {label}"
        for split, present in shown.items()
        for index, label in enumerate(classes)
        if present and index not in present
    ]
    if not cases:
        return []
    remedy = "No figure can be given of a class that a split does not show: divide otherwise, or leave the class out."
    return [Finding("missing_classes", f"{len(cases)} times a split has no example of a class.", tuple(cases), remedy)]
