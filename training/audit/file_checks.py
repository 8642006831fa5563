"""Checks of files: images that do not decode, masks that do not fit."""

from collections.abc import Sequence

import numpy as np

from training.audit.image_facts import ImageFacts
from training.findings import Finding


def unreadable_images(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Lists images that do not decode."""
    cases = tuple(fact.image_error for fact in facts if fact.image_error)
    remedy = "Remove the files from the data set, or download them again."
    return [Finding("unreadable", f"{len(cases)} images do not decode.", cases, remedy)] if cases else []


def invalid_masks(facts: Sequence[ImageFacts], *, classes: Sequence[str]) -> list[Finding]:
    """Lists masks with values that are not a class, of another size than their image, or that do not decode."""
    cases = [fact.mask_error for fact in facts if fact.mask_error]
    for fact in facts:
        unknown = sorted(fact.present - set(range(len(classes))))
        if unknown:
            cases.append(
                f"{fact.example.name}: unknown mask values {unknown[:8]}; the recipe has {len(classes)} classes."
            )
    remedy = "Correct the masks, or add their values to the recipe's classes."
    return [Finding("masks", f"{len(cases)} masks do not fit.", tuple(cases), remedy)] if cases else []


def object_side(facts: Sequence[ImageFacts]) -> float | None:
    """Returns the 95th percentile of the longer side of objects in training masks, in px; None without objects."""
    object_sides_px = [side for fact in facts if fact.split == "train" for side in fact.object_sides_px]
    return float(np.percentile(object_sides_px, 95)) if object_sides_px else None
