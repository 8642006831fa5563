"""Audit of a data set: all checks of the split that a recipe makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.audit import duplicates, file_checks, shortcuts, split_checks
from training.audit.image_facts import ImageFacts, gather_facts
from training.config import Recipe
from training.data.examples import DataSet, Example, Split, TaskName
from training.data.split import divide
from training.findings import Finding, check_allowed

Parts = Mapping[Split, Sequence[Example]]


@dataclass(frozen=True, slots=True)
class AuditedData:
    """A data set that passed the audit.

    parts: examples by split. allowed: allowed findings, with their reasons. object_side_px: 95th percentile of the
    longer side of objects in training masks; None without masks.
    """

    parts: dict[Split, list[Example]]
    allowed: dict[str, str]
    object_side_px: float | None


def audit_data(recipe: Recipe, data: DataSet) -> AuditedData:
    """Reads every example once and prints findings. Raises AuditFailed for errors that the recipe does not allow."""
    parts = recipe_split(recipe, data)
    facts = gather_facts(parts, task=recipe.task)
    findings = check(facts, parts, task=recipe.task, classes=data.classes)
    for finding in findings:
        if finding.severity == "warning":
            print(finding, flush=True)
    allowed = check_allowed(findings, allow=recipe.audit.allow)
    for finding in findings:
        if finding.severity == "error":
            print(f"{finding}\n    allowed: {allowed[finding.name]}", flush=True)
    return AuditedData(parts, allowed, file_checks.object_side(facts))


def copied_examples(recipe: Recipe, parts: Parts, split: Split) -> frozenset[str]:
    """Returns the split's examples with a (near-)copy in another split, if the recipe allows copies."""
    if not {"duplicates", "near_duplicates"} & recipe.audit.allow.keys():
        return frozenset()
    return duplicates.with_copies_in_other_splits(gather_facts(parts, task=recipe.task), split)


def recipe_split(recipe: Recipe, data: DataSet) -> dict[Split, list[Example]]:
    """Divides the data as the recipe does, but keeps groups that several parts share, for the audit to list."""
    keep = {"shared_groups": "keep"} if recipe.split.shared_groups == "refuse" else {}
    return divide(data, recipe.split.model_copy(update=keep))


def check(facts: Sequence[ImageFacts], parts: Parts, *, task: TaskName, classes: Sequence[str]) -> list[Finding]:
    has_labels = task in ("multiclass", "multilabel")
    return [
        *file_checks.unreadable_images(facts),
        *file_checks.invalid_masks(facts, classes=classes),
        *split_checks.shared_groups(parts),
        *split_checks.missing_classes(facts, classes=classes),
        *duplicates.exact_duplicates(facts),
        *duplicates.near_duplicates(facts),
        *(shortcuts.find_shortcuts(facts, classes=classes) if has_labels else []),
    ]


def object_size_warning(object_side_px: float | None, receptive_field: int, *, size: tuple[int, int] | None) -> str:
    """Returns a warning if objects (without masks, images) are larger than the receptive field, else ""."""
    if size is not None:
        object_is, side = "the image is", float(max(size))
    elif object_side_px is not None:
        object_is, side = "one object in twenty is longer than", object_side_px
    else:
        return ""
    if side <= receptive_field:
        return ""
    return (
        f"warning: {object_is} {side:g} px, but the receptive field is {receptive_field} px: no place of the network's"
        " last map sees a whole object. `python -m training.summary` shows where the field grows.\n"
    )
