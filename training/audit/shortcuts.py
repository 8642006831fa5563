"""Shortcuts: labels that size, file format, borders or acquisition tags predict without the image content.

A network learns what is easiest. If sick and healthy patients were imaged with different devices, it learns the device
(Zech 2018, DeGrave 2021).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from models.evaluation import Figure
from models.image import Array
from training.audit.image_facts import ImageFacts, Value
from training.evaluation_metrics import auroc, bootstrap
from training.findings import Finding, FindingName

FOLDS = 5
ERROR_AUROC = 0.55  # lower end of the interval; above 0.5 it is a warning
FORMAT = ("suffix", "format", "mode", "quality")


def size_facts(fact: ImageFacts) -> dict[str, Value]:
    height, width = fact.shape[:2]
    return {"height": height, "width": width, "aspect ratio": width / height}


def format_facts(fact: ImageFacts) -> dict[str, Value]:
    fields = {name: fact.header.get(name, "") for name in FORMAT}
    return fields | {"channels": fact.shape[2], "depth": fact.dtype}


def border_facts(fact: ImageFacts) -> dict[str, Value]:
    return dict(zip(("top", "bottom", "left", "right"), fact.margins))


def tag_facts(fact: ImageFacts) -> dict[str, Value]:
    return {name: value for name, value in fact.header.items() if name not in FORMAT}


FAMILIES: dict[FindingName, Callable[[ImageFacts], dict[str, Value]]] = {
    "label_from_size": size_facts,
    "label_from_format": format_facts,
    "label_from_borders": border_facts,
    "label_from_tags": tag_facts,
}
REMEDIES = {
    "size": "Bring all images to one size",
    "format": "Convert all images to one format",
    "borders": "Crop all images to one frame",
    "tags": "Balance the classes within each origin",
}


def find_shortcuts(facts: Sequence[ImageFacts], *, classes: Sequence[str]) -> list[Finding]:
    """Returns a finding for each family of facts that predicts a label better than chance."""
    labels = [fact.truth for fact in facts if fact.truth is not None]
    if not labels:
        return []
    labelled = [fact for fact in facts if fact.truth is not None]
    truths = np.stack(labels)  # (n,) or (n, classes)
    groups = np.array([fact.example.group for fact in labelled])
    targets = {"the class": truths} if truths.ndim == 1 else {c: truths[:, k] for k, c in enumerate(classes)}
    findings = []
    for name, family in FAMILIES.items():
        columns, table = encode([family(fact) for fact in labelled])
        for target_name, truth in targets.items() if columns else ():
            finding = _test_family(name, target_name, columns, table, truth.astype(int), groups)
            findings += [finding] if finding else []
    return findings


def encode(rows: Sequence[Mapping[str, Value]]) -> tuple[list[str], Array]:
    """Returns the facts that vary and their table (n, facts) float64; words become alphabetical ranks."""
    columns, numbers = [], []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name, "") for row in rows]
        if len(set(values)) > 1:
            words = sorted({str(value) for value in values})
            numeric = all(isinstance(value, (int, float)) for value in values)
            numbers.append([float(v) if numeric else float(words.index(str(v))) for v in values])
            columns.append(name)
    return columns, np.array(numbers).T


def _test_family(
    name: FindingName, target_name: str, columns: Sequence[str], table: Array, truth: Array, groups: Array
) -> Finding | None:
    """Tests whether a tree of depth 3 predicts the label of unseen groups better than chance."""
    groups_per_class = Counter(c for c, _ in {(int(c), g) for c, g in zip(truth, groups)})
    common = [c for c, count in sorted(groups_per_class.items()) if count >= FOLDS]
    chosen = np.isin(truth, common)
    if len(common) < 2:
        return None
    table, groups, target = table[chosen], groups[chosen], np.searchsorted(common, truth[chosen])
    probabilities = _out_of_fold(table, target, groups)
    if auroc(probabilities, target) <= 0.5:
        return None
    figure = bootstrap(name, lambda i: auroc(probabilities[i], target[i]), groups=groups, split="all", repeats=200)
    if figure.low <= 0.5:
        return None
    return _finding(name, target_name, _most_informative(columns, table, target), figure)


def _tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=3, min_samples_leaf=5, class_weight="balanced", random_state=0)


def _out_of_fold(table: Array, truth: Array, groups: Array) -> Array:
    """Returns (n, classes) probabilities, each from a tree trained without the example's group."""
    probabilities = np.zeros((len(truth), int(truth.max()) + 1))
    for train, test in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(table, truth, groups):
        tree = _tree().fit(table[train], truth[train])
        probabilities[np.ix_(test, tree.classes_)] = tree.predict_proba(table[test])
    return probabilities


def _most_informative(columns: Sequence[str], table: Array, truth: Array) -> str:
    return columns[int(_tree().fit(table, truth).feature_importances_.argmax())]


def _finding(name: FindingName, target_name: str, column: str, figure: Figure) -> Finding:
    family = name.removeprefix("label_from_")
    return Finding(
        name,
        f"{target_name} can be predicted from {family} alone: AUROC {figure.value:.3f}, 95 % interval"
        f" {figure.low:.3f} to {figure.high:.3f} over {figure.n} images; most informative: {column}.",
        (),
        f"A network would learn this shortcut. {REMEDIES[family]}, or give the reason why it belongs to the label.",
        severity="error" if figure.low > ERROR_AUROC else "warning",
    )
