"""The disease-partitioning algorithm on a tree of ten images, and a recipe's classes merged along its tree."""

import numpy as np
import pytest

from training.data.examples import DataError, DataSet, Example, constant
from training.taxonomy_config import TaxonomyConfig, partition

#            skin
#     benign       malignant
#   naevus wart    melanoma carcinoma
#    4      1        3      1 squamous, 1 basal
TREE = {
    "skin": ["benign", "malignant"],
    "benign": ["naevus", "wart"],
    "malignant": ["melanoma", "carcinoma"],
    "carcinoma": ["squamous", "basal"],
    **dict.fromkeys(("naevus", "wart", "melanoma", "squamous", "basal"), ()),
}
COUNTS = {"naevus": 4, "wart": 1, "melanoma": 3, "squamous": 1, "basal": 1}
PARENTS = {child: node for node, children in TREE.items() for child in children}


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (11, {"skin"}),
        (10, {"benign", "malignant"}),  # as many as the bound is too many: the paper's "<"
        (6, {"benign", "malignant"}),
        (5, {"naevus", "wart", "melanoma", "carcinoma"}),
        (3, {"naevus", "wart", "melanoma", "carcinoma"}),  # too large a leaf is a class all the same
        (2, {"naevus", "wart", "melanoma", "squamous", "basal"}),
    ],
)
def test_a_node_with_fewer_images_is_a_class(size: int, wanted: set[str]) -> None:
    parts = list(partition(TREE, "skin", COUNTS, max_class_size=size))
    assert {part[0] for part in parts} == wanted
    leaves = [label for part in parts for label in part if label in COUNTS]
    assert sorted(leaves) == sorted(COUNTS)  # each in one class


def test_a_nodes_own_images_are_not_lost() -> None:
    parts = list(partition(TREE, "carcinoma", {"carcinoma": 5, "basal": 1}, max_class_size=4))
    assert parts == [("carcinoma",), ("squamous",), ("basal",)]


def data(counts: dict[str, int]) -> DataSet:
    labels = [label for label, count in counts.items() for _ in range(count)]
    classes = tuple(sorted(counts))
    examples = [
        Example(str(n), str(n), label, None, constant(0), constant(np.int64(classes.index(label))))
        for n, label in enumerate(labels)
    ]
    return DataSet(tuple(examples), classes)


def test_a_recipe_merges_classes_along_its_tree() -> None:
    config = TaxonomyConfig(parents=PARENTS, max_class_size=5)
    whole = data(COUNTS)
    merged = config.merge(whole)
    assert merged.classes == ("carcinoma", "melanoma", "naevus", "wart")
    assert [merged.classes[int(e.truth())] for e in merged.examples] == (
        ["naevus"] * 4 + ["wart"] + ["melanoma"] * 3 + ["carcinoma"] * 2
    )
    assert [e.stratum for e in merged.examples] == [e.stratum for e in whole.examples]
    assert config.of(merged.classes).nodes == ("malignant", "skin", "benign")
    assert TaxonomyConfig(parents=PARENTS).merge(whole) is whole


def test_a_tree_of_other_classes_is_refused() -> None:
    with pytest.raises(DataError, match=r"unknown classes \['mole'\]; the classes of the data are"):
        TaxonomyConfig(parents=PARENTS | {"mole": "benign"}).merge(data(COUNTS))
    with pytest.raises(DataError, match="'carcinoma' has its own images and the classes"):
        TaxonomyConfig(parents=PARENTS).merge(data(COUNTS | {"carcinoma": 2}))
    with pytest.raises(DataError, match="The taxonomy is not a tree: the node 'odd' is above itself"):
        TaxonomyConfig(parents={"wart": "odd", "odd": "even", "even": "odd"}).merge(data(COUNTS))
