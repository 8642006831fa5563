"""Duplicates: images that are equal, or equal up to compression, resizing, brightness and mirroring."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice

from training.audit.fingerprint import similar_pairs
from training.audit.image_facts import ImageFacts
from training.data.examples import Split
from training.findings import Finding

MAX_PAIRS = 10_000  # near-duplicates, after which the search stops
Pair = tuple[ImageFacts, ImageFacts, str]  # and a note on the second


def exact_duplicates(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Finds equal pixels, size and depth: an error across splits, a warning within one."""
    by_digest: dict[bytes, list[ImageFacts]] = defaultdict(list)
    for fact in facts:
        if fact.digest:
            by_digest[fact.digest].append(fact)
    pairs = [(copies[0], copy, "") for copies in by_digest.values() for copy in _others(copies)]
    return _findings("duplicates", "identical", pairs)


def near_duplicates(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Finds the same picture with other pixels."""
    return _findings("near_duplicates", "nearly identical", _similar(facts))


def with_copies_in_other_splits(facts: Sequence[ImageFacts], split: Split) -> frozenset[str]:
    """Returns the names of a split's examples with a (near-)copy in another split."""
    splits: dict[bytes, set[Split]] = defaultdict(set)
    for fact in facts:
        splits[fact.digest].add(fact.split)
    splits_of_copies = {digest: set(among) for digest, among in splits.items()}
    for one, other, _ in _similar(facts):
        splits_of_copies[one.digest] |= splits[other.digest]
        splits_of_copies[other.digest] |= splits[one.digest]
    return frozenset(
        fact.example.name for fact in facts if fact.split == split and splits_of_copies[fact.digest] - {split}
    )


def _similar(facts: Sequence[ImageFacts]) -> list[Pair]:
    by_digest: dict[bytes, ImageFacts] = {}
    for fact in facts:
        if fact.fingerprint:
            by_digest.setdefault(fact.digest, fact)
    distinct = list(by_digest.values())
    found = islice(similar_pairs([fact.fingerprint for fact in distinct if fact.fingerprint]), MAX_PAIRS)
    return [(distinct[i], distinct[j], f" ({how}, correlation {correlation:.3f})") for i, j, correlation, how in found]


def _others(copies: Sequence[ImageFacts]) -> list[ImageFacts]:
    """Lists copies in other splits first, so that copies within a split do not hide a leak."""
    return sorted(copies[1:], key=lambda fact: fact.split == copies[0].split)


def _findings(name: str, how: str, pairs: Iterable[Pair]) -> list[Finding]:
    cases: dict[bool, list[str]] = defaultdict(list)
    for one, other, note in pairs:
        labels = "" if _label(one) == _label(other) else "; their labels differ"
        where = f"{one.split}: {one.example.name} = {other.split}: {other.example.name}{note}{labels}"
        cases[one.split != other.split].append(where)
    remedy = {
        True: "Training images must not be in the test. Remove one of each pair, or give both the same group.",
        False: "Each counts more than once in its split; remove one of each pair.",
    }
    return [
        Finding(
            name,  # type: ignore[arg-type]
            f"{len(cases[across])} pairs of images are {how}, {'across splits' if across else 'within a split'}.",
            tuple(cases[across]),
            remedy[across],
            severity="error" if across else "warning",
        )
        for across in (True, False)
        if cases[across]
    ]


def _label(fact: ImageFacts) -> object:
    return None if fact.truth is None else fact.truth.tolist()
