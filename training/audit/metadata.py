"""Labels that can be told without looking: by an image's size, format, borders or acquisition tags alone.

A network takes what is easiest. Where the sick were photographed by another device than the healthy, it learns the
device (Zech 2018, DeGrave 2021).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from models.evaluation import Figure
from models.image import Array
from training.audit.facts import Facts, Value
from training.audit.finding import Finding, Name
from training.metrics import auroc, bootstrap

FOLDS = 5
GRAVE = 0.55  # the interval's lower end; above 0.5 alone it is said
FORMAT = ("suffix", "format", "mode", "quality")


def size(fact: Facts) -> dict[str, Value]:
    height, width = fact.shape[:2]
    return {"height": height, "width": width, "aspect ratio": width / height}


def format(fact: Facts) -> dict[str, Value]:
    known = {name: fact.header.get(name, "") for name in FORMAT}
    return known | {"channels": fact.shape[2], "depth": fact.dtype}


def borders(fact: Facts) -> dict[str, Value]:
    return dict(zip(("top", "bottom", "left", "right"), fact.margins))


def tags(fact: Facts) -> dict[str, Value]:
    return {name: value for name, value in fact.header.items() if name not in FORMAT}


FAMILIES: dict[Name, Callable[[Facts], dict[str, Value]]] = {
    "label_from_size": size,
    "label_from_format": format,
    "label_from_borders": borders,
    "label_from_tags": tags,
}


def shortcuts(facts: Sequence[Facts], *, classes: Sequence[str]) -> list[Finding]:
    """A finding for each family of facts that predicts a label better than chance."""
    labelled = [fact for fact in facts if fact.truth is not None]
    if not labelled:
        return []
    truths = np.stack([fact.truth for fact in labelled])  # (n,) or (n, classes)
    groups = np.array([fact.example.group for fact in labelled])
    questions = {"the class": truths} if truths.ndim == 1 else {c: truths[:, k] for k, c in enumerate(classes)}
    found = []
    for name, family in FAMILIES.items():
        columns, table = encode([family(fact) for fact in labelled])
        for what, truth in questions.items() if columns else ():
            finding = _judge(name, what, columns, table, truth.astype(int), groups)
            found += [finding] if finding else []
    return found


def encode(rows: Sequence[Mapping[str, Value]]) -> tuple[list[str], Array]:
    """-> the facts that vary, and a table (n, facts) float64 of them; words become their rank in the alphabet."""
    columns, numbers = [], []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name, "") for row in rows]
        if len(set(values)) > 1:
            words = sorted({str(value) for value in values})
            numeric = all(isinstance(value, (int, float)) for value in values)
            numbers.append([float(v) if numeric else float(words.index(str(v))) for v in values])
            columns.append(name)
    return columns, np.array(numbers).T


def _judge(name: Name, what: str, columns: Sequence[str], table: Array, truth: Array, groups: Array) -> Finding | None:
    """Whether a tree of three questions, asked about groups that it has not seen, tells the truth above chance."""
    grouped = Counter(c for c, _ in {(int(c), g) for c, g in zip(truth, groups)})
    common = [c for c, count in sorted(grouped.items()) if count >= FOLDS]
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
    return _finding(name, what, _most_telling(columns, table, target), figure)


def _tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=3, min_samples_leaf=5, class_weight="balanced", random_state=0)


def _out_of_fold(table: Array, truth: Array, groups: Array) -> Array:
    """-> (n, classes) probabilities, each from a tree that saw no example of the same group."""
    probabilities = np.zeros((len(truth), int(truth.max()) + 1))
    for known, asked in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(table, truth, groups):
        tree = _tree().fit(table[known], truth[known])
        probabilities[np.ix_(asked, tree.classes_)] = tree.predict_proba(table[asked])
    return probabilities


def _most_telling(columns: Sequence[str], table: Array, truth: Array) -> str:
    return columns[int(_tree().fit(table, truth).feature_importances_.argmax())]


def _finding(name: Name, what: str, column: str, figure: Figure) -> Finding:
    family = name.removeprefix("label_from_")
    return Finding(
        name,
        f"{family} alone predicts {what}: AUROC {figure.value:.3f}, 95 % interval {figure.low:.3f} to {figure.high:.3f}"
        f" over {figure.n} images; {column} tells most.",
        (),
        "A network would learn that. Bring all images to one "
        + _ONE[family]
        + ", or say why it is part of the answer.",
        weight="refused" if figure.low > GRAVE else "advice",
    )


_ONE = {"size": "size", "format": "format", "borders": "frame", "tags": "origin, or balance the classes within each"}
