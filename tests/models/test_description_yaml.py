"""Tests of a description's YAML: its plain part is read as PyYAML does; what multiplies, nests or types is refused."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from models import package
from models.description_yaml import MAX_DEPTH, parse_yaml, serialised
from models.errors import PackageError
from models.rdf import to_rdf
from tests.models.tiny_packages import contents

STARTERS = sorted((Path(__file__).parents[2] / "models/starter").glob("*/*/rdf.yaml"))


@pytest.mark.parametrize("path", STARTERS, ids=lambda path: path.parent.parent.name)
def test_a_package_is_read_as_pyyaml_reads_it(path: Path) -> None:
    assert parse_yaml(path.read_bytes()) == yaml.safe_load(path.read_bytes())


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    document = to_rdf(package.write(tmp_path / "1.0", **contents("everything")).spec)
    assert parse_yaml(serialised(document)) == document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("''", ""), ("text", "text"),
        ("true", True), ("No", False), ("'true'", "true"), ('"1"', "1"),
        ("0", 0), ("-17", -17), ("+3", 3), ("9223372036854775807", 2**63 - 1),
        ("1.5", 1.5), ("-.5", -0.5), ("1.0e-5", 1e-5), ("1e5", "1e5"), (".inf", math.inf), ("-.INF", -math.inf),
        ("2020-01-02", "2020-01-02"), ("2020-99-99", "2020-99-99"), ("0x1F", "0x1F"), ("017", "017"), ("0b_", "0b_"),
        ("12:30:00", "12:30:00"), ("1_000", "1_000"), ("9" * 20, "9" * 20), ("9" * 10_000, "9" * 10_000),
        ("[1, [a, {b: 2}]]", [1, ["a", {"b": 2}]]), ("<<: {a: 1}", {"<<": {"a": 1}}), ("1: a", {1: "a"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
    ],
)  # fmt: skip
def test_a_value_has_a_plain_type(text: str, value: Any) -> None:
    assert parse_yaml(text.encode()) == value
    assert type(parse_yaml(text.encode())) is type(value)


def multiplied(levels: int) -> bytes:
    rows = [b"a0: &a0 x"] + [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, levels)]
    return b"\n".join(rows)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a: !!int x", "line 1 has the tag 'tag:yaml.org,2002:int'"),
        (b"a: ! x", "the tag '!'"),
        (b"- !!python/object/apply:os.system ['false']", "the tag"),
        (b"[" * 20_000, "more than 64 levels"),
        (b"{a: " * 20_000, "more than 64 levels"),
        (b"- " * 20_000, "more than 64 levels"),
        (b"\n\na: &a [*a]", "line 3 has the alias 'a', of nothing before it"),
        (b"a: *b", "of nothing before it"),
        (multiplied(10), "too many values"),
        (b"[" + b"a," * 500_000 + b"]", "too many values"),
        (b"a: &a " + b"x" * 500_000 + b"\nb: [*a, *a, *a, *a]", "too many values"),
        (b"a: 1\na: 2", "line 2 has the key 'a' twice"),
        (b"[a]: 1", "a key that is no scalar"),
        (b"? {a: b}\n: 1", "a key that is no scalar"),
        (b"--- a\n--- b", "holds 2 YAML documents"),
        (b"#" * (2**20 + 1), "1,048,577 bytes; at most 1,048,576"),
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\0", "is not YAML"),
        (b"\0", "is not YAML"),
    ],
)
def test_what_makes_much_work_of_little_text_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(PackageError, match=reason):
        parse_yaml(text)


def test_levels_up_to_the_limit_are_read() -> None:
    assert parse_yaml(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_the_worst_text_of_a_mebibyte_takes_seconds() -> None:
    """A generous bound: it took 0.6 s on a busy core, and 20 MB of it more than 12 s."""
    started = time.process_time()
    with pytest.raises(PackageError):
        parse_yaml(b"[" + b"1.5," * 262_000 + b"]")
    assert time.process_time() - started < 10
