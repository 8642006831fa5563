"""Tests of the loader of promoter sequences: read as the service reads them, no two of a group on two sides."""

from pathlib import Path

import numpy as np
import pytest

from models.decode.signal import open_signal
from models.source import image_of
from tests.data import real_data
from tests.training.data.files import load
from training.config import read_recipe
from training.data.examples import DataError
from training.data.promoters import LETTERS, group_by_shared_bases
from training.data.split import SplitConfig, divide

SEQUENCES = ["acgtacgtacgtacgtacgt", "ttttttttttttttttgggg", "gacgtacgtacgtacgtacg", "cccccccccccccctttttt"]


def test_sequences_that_share_fifteen_bases_are_one_group() -> None:
    # The third is the first moved by a base; the last shares fewer.
    first, second, third, fourth = group_by_shared_bases(SEQUENCES)
    assert first == third
    assert len({first, second, fourth}) == 3


def test_groups_are_joined_through_a_third() -> None:
    a, b = "acgtacgtacgtacgta" + "c" * 3, "gggcccgggcccgggcc" + "a" * 3
    assert len(set(group_by_shared_bases([a, b]))) == 2
    assert len(set(group_by_shared_bases([a, b, a[:16] + b[:16]]))) == 1


def test_a_sequence_is_one_hot_as_the_service_makes_it(tmp_path: Path) -> None:
    (tmp_path / "p.data").write_text(f"+,ONE,\t\t{SEQUENCES[0]}\n-, 17,\t{SEQUENCES[1].upper()}\n\n")
    data = load(loader="promoters", path=tmp_path / "p.data")
    assert data.classes == ("other", "promoter")
    assert [(e.name, e.stratum, int(e.truth())) for e in data.examples] == [("ONE", "promoter", 1), ("17", "other", 0)]
    sent = image_of(open_signal(f'"{SEQUENCES[1]}"'.encode(), channels=4, length=20, letters="acgt"))
    np.testing.assert_array_equal(data.examples[1].image(), sent.pixels)


@pytest.mark.parametrize(
    ("text", "says"),
    [("+,a,acgn\n", "place 4 holds 'n'"), ("*,a,acgt\n", "line 1: expected"), ("+,a,acg\n-,b,ac\n", "the same length")],
)
def test_what_are_no_sequences_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "p.data").write_text(text)
    with pytest.raises(DataError, match=says):
        load(loader="promoters", path=tmp_path / "p.data")


def test_the_recipe_has_the_loaders_letters() -> None:
    recipe = read_recipe(Path("training/recipes/promoters.toml"))
    assert recipe.input.letters == LETTERS


def test_each_fold_is_the_test_once() -> None:
    data = load(loader="promoters", path=real_data("dna_promoters/promoters.data"))
    assert (len(data.examples), len({e.group for e in data.examples})) == (106, 59)
    tested: list[str] = []
    for turn in range(5):
        parts = divide(data, SplitConfig(folds=5, turn=turn))
        assert not {e.group for e in parts["test"]} & {e.group for e in parts["train"] + parts["validation"]}
        tested += [e.name for e in parts["test"]]
    assert sorted(tested) == sorted(e.name for e in data.examples)
