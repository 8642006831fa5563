"""All checks of a data set, as a recipe divides it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.audit import duplicates, files, metadata, splits
from training.audit.facts import Facts, gather
from training.audit.finding import Finding, clear
from training.config import Recipe
from training.data.examples import DataSet, Example, Split, TaskName
from training.data.split import divide

Parts = Mapping[Split, Sequence[Example]]


@dataclass(frozen=True, slots=True)
class Passed:
    """A data set that may be trained on.

    parts: its examples by split. allowed: what was found all the same, with the reason for allowing it.
    object_side_px: what 95 % of the objects in training masks are not longer than; None for labels.
    """

    parts: dict[Split, list[Example]]
    allowed: dict[str, str]
    object_side_px: float | None


def passed(recipe: Recipe, data: DataSet) -> Passed:
    """Reads every example once, and says what was found. Raises Refused for what the recipe does not allow."""
    parts = divided(recipe, data)
    facts = gather(parts, task=recipe.task)
    findings = check(facts, parts, task=recipe.task, classes=data.classes)
    for finding in findings:
        if finding.weight == "advice":
            print(finding, flush=True)
    allowed = clear(findings, allow=recipe.audit.allow)
    for finding in findings:
        if finding.weight == "refused":
            print(f"{finding}\n    allowed: {allowed[finding.name]}", flush=True)
    return Passed(parts, allowed, files.object_side(facts))


def copies(recipe: Recipe, parts: Parts, split: Split) -> frozenset[str]:
    """Where the recipe allows them: the split's examples of which another split has a copy, or nearly one."""
    if not {"duplicates", "near_duplicates"} & recipe.audit.allow.keys():
        return frozenset()
    return duplicates.elsewhere(gather(parts, task=recipe.task), split)


def divided(recipe: Recipe, data: DataSet) -> dict[Split, list[Example]]:
    """The recipe's split, in which groups may stand in several parts: the audit lists all of them."""
    keep = {"shared_groups": "keep"} if recipe.split.shared_groups == "refuse" else {}
    return divide(data, recipe.split.model_copy(update=keep))


def check(facts: Sequence[Facts], parts: Parts, *, task: TaskName, classes: Sequence[str]) -> list[Finding]:
    labels = task in ("multiclass", "multilabel")
    return [
        *files.unreadable(facts),
        *files.masks(facts, classes=classes),
        *splits.shared_groups(parts),
        *splits.missing_classes(facts, classes=classes),
        *duplicates.exact(facts),
        *duplicates.near(facts),
        *(metadata.shortcuts(facts, classes=classes) if labels else []),
    ]


def too_large(object_side_px: float | None, receptive_field: int, *, size: tuple[int, int] | None) -> str:
    """A warning, or "", where objects are larger than what the network sees at once; without masks the whole image is
    the object."""
    if size is not None:
        what, side = "the image is", float(max(size))
    elif object_side_px is not None:
        what, side = "one object in twenty is longer than", object_side_px
    else:
        return ""
    if side <= receptive_field:
        return ""
    return (
        f"warning: {what} {side:g} px and the receptive field {receptive_field} px: no place of the network's last map"
        " sees a whole one. `python -m training.summary` shows where the field grows.\n"
    )
