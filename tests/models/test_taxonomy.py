"""A tree small enough to sum by hand."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from models.rdf import from_rdf, to_rdf
from models.spec import ModelSpec
from models.taxonomy import Taxonomy, coarser
from tests.models.tiny_descriptions import classifier_fields
from tests.package_parts import spec_of

#            lung            skin
#        infection   oedema   nevus
#     viral  bacterial
PARENTS = {"viral": "infection", "bacterial": "infection", "infection": "lung", "oedema": "lung", "nevus": "skin"}
TREE = Taxonomy(("nevus", "viral", "oedema", "bacterial"), ("lung", "infection", "skin"), PARENTS)
P = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
CLASSES = [{"label": "normal"}, {"label": "viral", "parent": "pneumonia"}, {"label": "other", "parent": "pneumonia"}]


def test_a_node_is_the_sum_of_what_is_below_it() -> None:
    np.testing.assert_allclose(TREE.probabilities(P), [0.9, 0.6, 0.1], rtol=1e-6)
    np.testing.assert_allclose(TREE.probabilities(np.stack([P, P[::-1]]))[1], [0.6, 0.4, 0.4], rtol=1e-6)


def test_a_class_is_called_by_its_ancestor_at_each_level() -> None:
    assert TREE.depth == 2
    assert TREE.level(0) == ("skin", "lung", "lung", "lung")
    assert TREE.level(1) == ("nevus", "infection", "oedema", "infection")
    assert TREE.level(2) == TREE.level(9) == TREE.classes
    sums, place = coarser(P, TREE.level(1))
    assert place.tolist() == [1, 0, 2, 0]
    np.testing.assert_allclose(sums, [0.6, 0.1, 0.3], rtol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "parents", "says"),
    [
        (("a", "b"), {"x": "a", "a": "b", "b": "a"}, "'a' is above itself"),
        (("a", "b"), {"x": "a"}, "'b' of the taxonomy has no class below it"),
    ],
)
def test_what_is_no_tree_is_refused(nodes: tuple[str, ...], parents: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Taxonomy(("x", "y"), nodes, parents)


def spec(**changes: object) -> ModelSpec:
    return spec_of(**{**classifier_fields(), **changes})


def test_a_package_keeps_its_tree() -> None:
    nodes = [{"label": "pneumonia", "name": "Pneumonia", "ontology": "MESH:D011014", "parent": "disease"}]
    written = spec(classes=CLASSES, nodes=[*nodes, {"label": "disease"}])
    assert from_rdf(to_rdf(written)) == written
    assert written.taxonomy.level(0) == ("normal", "disease", "disease")
    assert spec().nodes == spec().taxonomy.nodes == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"nodes": [{"label": "pnoymonia"}]}, "['pneumonia'] are no labels"),
        ({"nodes": [{"label": "pneumonia", "parent": "lung"}]}, "['lung'] are no labels"),
        ({"nodes": [{"label": "pneumonia"}, {"label": "normal"}]}, "are not all different"),
        ({"nodes": [{"label": "pneumonia"}, {"label": "skin"}]}, "'skin' of the taxonomy has no class below it"),
        ({"nodes": [{"label": "pneumonia"}], "activation": "sigmoid"}, "softmax classifier"),
    ],
)
def test_a_package_whose_tree_does_not_hold_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        spec(classes=CLASSES, **changes)
