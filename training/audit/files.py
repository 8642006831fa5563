"""What cannot be read: images that don't decode, masks that don't fit."""

from collections.abc import Sequence

import numpy as np

from training.audit.facts import Facts
from training.audit.finding import Finding


def unreadable(facts: Sequence[Facts]) -> list[Finding]:
    cases = tuple(fact.trouble for fact in facts if fact.trouble)
    remedy = "Take the files out of the data set, or get them again."
    return [Finding("unreadable", f"{len(cases)} images do not decode.", cases, remedy)] if cases else []


def masks(facts: Sequence[Facts], *, classes: Sequence[str]) -> list[Finding]:
    """Masks with values that are no class, of another size than their image, or that do not decode."""
    cases = [fact.mask_trouble for fact in facts if fact.mask_trouble]
    for fact in facts:
        unknown = sorted(fact.present - set(range(len(classes))))
        if unknown:
            cases.append(f"{fact.example.name}: it holds the values {unknown[:8]}; there are {len(classes)} classes.")
    remedy = "Mend the masks, or name their values in the recipe's classes."
    return [Finding("masks", f"{len(cases)} masks do not fit.", tuple(cases), remedy)] if cases else []


def object_side(facts: Sequence[Facts]) -> float | None:
    """px: what 95 % of the training masks' objects are not longer than; None where there are none."""
    sides = [side for fact in facts if fact.split == "train" for side in fact.sides]
    return float(np.percentile(sides, 95)) if sides else None
