"""The same picture twice: pixel for pixel, or changed as little as compression, resizing and mirroring change it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice

from training.audit.facts import Facts
from training.audit.finding import Finding
from training.audit.fingerprint import alike
from training.data.examples import Split

MOST = 10_000  # near-duplicates after which no more are looked for
Pair = tuple[Facts, Facts, str]  # and how they are alike


def exact(facts: Sequence[Facts]) -> list[Finding]:
    """Equal pixels, size and depth. Across splits it refuses; within one it is said."""
    by_digest: dict[bytes, list[Facts]] = defaultdict(list)
    for fact in facts:
        if fact.digest:
            by_digest[fact.digest].append(fact)
    pairs = [(copies[0], copy, "") for copies in by_digest.values() for copy in _others(copies)]
    return _findings("duplicates", "pixel for pixel the same", pairs)


def near(facts: Sequence[Facts]) -> list[Finding]:
    """Not equal, and yet the same picture."""
    return _findings("near_duplicates", "nearly the same", _similar(facts))


def elsewhere(facts: Sequence[Facts], split: Split) -> frozenset[str]:
    """The names of a split's examples that another split holds too, or nearly."""
    splits: dict[bytes, set[Split]] = defaultdict(set)
    for fact in facts:
        splits[fact.digest].add(fact.split)
    held = {digest: set(among) for digest, among in splits.items()}
    for one, other, _ in _similar(facts):
        held[one.digest] |= splits[other.digest]
        held[other.digest] |= splits[one.digest]
    return frozenset(fact.example.name for fact in facts if fact.split == split and held[fact.digest] - {split})


def _similar(facts: Sequence[Facts]) -> list[Pair]:
    seen: dict[bytes, Facts] = {}
    for fact in facts:
        if fact.looks:
            seen.setdefault(fact.digest, fact)
    distinct = list(seen.values())
    found = islice(alike([fact.looks for fact in distinct if fact.looks]), MOST)
    return [(distinct[i], distinct[j], f" ({how}, correlation {likeness:.3f})") for i, j, likeness, how in found]


def _others(copies: Sequence[Facts]) -> list[Facts]:
    """One of each other split before the rest, so that a leak is not hidden behind copies within a split."""
    return sorted(copies[1:], key=lambda fact: fact.split == copies[0].split)


def _findings(name: str, how: str, pairs: Iterable[Pair]) -> list[Finding]:
    cases: dict[bool, list[str]] = defaultdict(list)
    for one, other, note in pairs:
        labels = "" if _label(one) == _label(other) else ", and their labels differ"
        where = f"{one.split}: {one.example.name} = {other.split}: {other.example.name}{note}{labels}"
        cases[one.split != other.split].append(where)
    remedy = {
        True: "What was trained on is no test. Leave out one of each pair, or give both one group.",
        False: "Each counts more than once in its split; leave out one of each pair.",
    }
    return [
        Finding(
            name,  # type: ignore[arg-type]
            f"{len(cases[across])} pairs of images are {how}, {'across splits' if across else 'within a split'}.",
            tuple(cases[across]),
            remedy[across],
            weight="refused" if across else "advice",
        )
        for across in (True, False)
        if cases[across]
    ]


def _label(fact: Facts) -> object:
    return None if fact.truth is None else fact.truth.tolist()
