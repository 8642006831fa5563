from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from training.data.examples import DataError, DataSet, Example, Split, constant
from training.data.split import SplitConfig, digest, divide, split_digest


def example(name: str, *, group: str = "", stratum: str = "", split: Split | None = None) -> Example:
    nothing = constant(np.zeros((1, 1, 1)))
    return Example(name=name, group=group or name, stratum=stratum, split=split, image=nothing, truth=nothing)


def data(*examples: Example) -> DataSet:
    return DataSet(examples, ("a", "b"))


def names(parts: dict[Split, list[Example]]) -> dict[str, list[str]]:
    return {split: [e.name for e in examples] for split, examples in parts.items()}


HUNDRED = data(*(example(f"{i:03}", stratum="rare" if i % 5 == 0 else "common") for i in range(100)))


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (SplitConfig(), {"train": 80, "validation": 10, "test": 10}),
        (SplitConfig(folds=5, test=1, validation=0), {"train": 80, "test": 20}),
        (SplitConfig(folds=4, test=0, validation=1), {"train": 75, "validation": 25}),
        (SplitConfig(folds=10, test=2, validation=3), {"train": 50, "validation": 30, "test": 20}),
        (SplitConfig(test=0, validation=0), {"train": 100}),
    ],
)
def test_each_part_has_its_share_of_each_stratum(config: SplitConfig, sizes: dict[str, int]) -> None:
    parts = divide(HUNDRED, config)
    assert {split: len(examples) for split, examples in parts.items()} == sizes
    for split, examples in parts.items():
        assert Counter(e.stratum for e in examples)["rare"] == sizes[split] / 5


@given(
    groups=st.lists(st.integers(0, 30), min_size=60, max_size=120).filter(lambda g: len(set(g)) >= 10),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=25, derandomize=True)
def test_no_group_is_on_two_sides_and_no_example_is_lost(groups: list[int], seed: int) -> None:
    examples = [example(f"{i}", group=f"g{g}", stratum="ab"[i % 2]) for i, g in enumerate(groups)]
    parts = divide(data(*examples), SplitConfig(seed=seed))
    sides = {split: {e.group for e in some} for split, some in parts.items()}
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["validation"]
    assert not sides["validation"] & sides["test"]
    assert sorted(e.name for some in parts.values() for e in some) == sorted(e.name for e in examples)


def test_the_seed_decides_and_nothing_else_does() -> None:
    first, again, other = (divide(HUNDRED, SplitConfig(seed=seed)) for seed in (1, 1, 2))
    assert names(first) == names(again)
    assert names(first) != names(other)


def test_parts_keep_the_data_sets_order() -> None:
    for examples in divide(HUNDRED, SplitConfig()).values():
        assert {e.name for e in examples} <= {e.name for e in HUNDRED.examples}
    train = [e.name for e in divide(HUNDRED, SplitConfig())["train"]]
    assert train == sorted(train)


def test_a_given_split_is_kept_and_what_is_missing_is_made() -> None:
    given_test = [example(f"t{i}", split="test") for i in range(7)]
    rest = [example(f"r{i}", split="train") for i in range(30)]
    parts = divide(data(*given_test, *rest), SplitConfig())
    assert names(parts)["test"] == [f"t{i}" for i in range(7)]
    assert (len(parts["validation"]), len(parts["train"])) == (3, 27)


SHARED = data(
    example("1", group="p1", split="train"),
    example("2", group="p2", split="train"),
    example("3", group="p1", split="test"),
    example("4", group="p3", split="validation"),
)


def test_a_group_on_both_sides_is_refused() -> None:
    with pytest.raises(DataError, match="group 'p1' is in both"):
        divide(SHARED, SplitConfig())


def test_or_its_examples_are_dropped_from_training() -> None:
    parts = divide(SHARED, SplitConfig(shared_groups="drop"))
    assert names(parts) == {"train": ["2"], "validation": ["4"], "test": ["3"]}


def test_a_group_in_validation_and_test_cannot_be_dropped() -> None:
    shared = data(*SHARED.examples, example("5", group="p3", split="test"))
    with pytest.raises(DataError, match="'p3' is in both"):
        divide(shared, SplitConfig(shared_groups="drop"))


def test_too_few_groups_are_refused() -> None:
    few = data(*(example(f"{i}", group=f"g{i % 9}") for i in range(50)))
    with pytest.raises(DataError, match="9 groups cannot be divided into 10"):
        divide(few, SplitConfig())


@pytest.mark.parametrize("first", [True, False])
def test_a_stratum_of_few_examples_does_not_stop_the_rest(first: bool) -> None:
    odd = [example(f"odd{i}", stratum=f"size {i}") for i in range(3)]
    parts = divide(data(*odd, *HUNDRED.examples) if first else data(*HUNDRED.examples, *odd), SplitConfig())
    assert sum(map(len, parts.values())) == 103


@pytest.mark.parametrize(
    "fields", [{"test": 5, "validation": 5}, {"folds": 2, "test": 1, "validation": 1}, {"test": 11}]
)
def test_a_split_that_leaves_nothing_to_train_on_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="nothing to train on"):
        SplitConfig(**fields)


def test_the_digest_is_of_which_example_is_where() -> None:
    parts = divide(HUNDRED, SplitConfig())
    same = split_digest(parts)
    assert split_digest({split: parts[split][::-1] for split in reversed(parts)}) == same
    regrouped = {split: [replace(e, group="g", stratum="s") for e in some] for split, some in parts.items()}
    assert split_digest(regrouped) == same
    moved = parts | {"train": parts["train"][1:], "test": [*parts["test"], parts["train"][0]]}
    renamed = parts | {"train": [replace(parts["train"][0], name="x"), *parts["train"][1:]]}
    fewer = parts | {"train": parts["train"][1:]}
    assert len({same, *(split_digest(other) for other in (moved, renamed, fewer))}) == 4


@given(lines=st.lists(st.text(alphabet="ab\t", max_size=4), max_size=6), random=st.randoms())
@settings(deadline=None, derandomize=True)
def test_a_digest_does_not_depend_on_the_order(lines: list[str], random: object) -> None:
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert digest(shuffled) == digest(lines)
    assert digest([*lines, "c"]) != digest(lines)


def test_where_the_data_are_split_there_is_no_fold_to_turn() -> None:
    examples = tuple(example(f"{n}", split=split) for n, split in enumerate(("train", "validation", "test") * 5))
    with pytest.raises(DataError, match=r"split\.turn is 2: the data set has its own split"):
        divide(DataSet(examples, ("a", "b")), SplitConfig(turn=2))
