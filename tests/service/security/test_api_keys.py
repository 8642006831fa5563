"""Tests of the API key file: its format, the lookup of a key, and reloading."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from service.security import api_keys
from service.security.api_keys import KeyStore, new_key, parse, sent_secret
from service.settings import InvalidSettings

ROOT = Path(__file__).parents[3]


def write(path: Path, *entries: str) -> Path:
    path.write_text("\n".join(entries))
    os.utime(path, ns=(0, len("".join(entries)) * 1_000_003))  # a change of the same size within a tick of the clock
    return path


def test_a_new_key_is_random_and_its_lines_hold_only_its_hash() -> None:
    key, lines = new_key("viewer", ["infer", "metrics"], rate_per_s=2.5)
    entry = parse(lines)["viewer"]
    assert len(key) == len("striate_") + 43  # 256 bits
    assert key not in lines
    assert entry.sha256 == sha256(key.encode()).hexdigest()
    assert (entry.scopes, entry.rate_per_s) == ({"infer", "metrics"}, 2.5)
    assert new_key("viewer", ["infer"])[0] != key


GOOD = f'sha256 = "{"0" * 64}"\nscopes = ["infer"]\n'
BAD_FILES = {
    "no TOML": ("keys = [", "not valid TOML"),
    "an unknown table": ("[users.a]", "users"),
    "a misspelt field": ("[keys.a]\nrate = 3\n" + GOOD, "keys.a.rate"),
    "a hash that is none": ('[keys.a]\nsha256 = "abc"\nscopes = ["infer"]', "keys.a.sha256"),
    "no scope": (f'[keys.a]\nsha256 = "{"0" * 64}"\nscopes = []', "keys.a.scopes"),
    "an unknown scope": (f'[keys.a]\nsha256 = "{"0" * 64}"\nscopes = ["root"]', "keys.a.scopes"),
    "an id that would not fit a log": ('[keys."Erika Mustermann"]\n' + GOOD, "keys"),
    "a key twice": (f"[keys.a]\n{GOOD}[keys.b]\n{GOOD}", "two ids"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_an_invalid_file_is_rejected_with_the_field(tmp_path: Path, case: str) -> None:
    text, says = BAD_FILES[case]
    with pytest.raises(InvalidSettings, match=says):
        KeyStore(write(tmp_path / "keys.toml", text))


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        KeyStore(tmp_path / "keys.toml")


def test_a_change_is_loaded_and_an_invalid_file_keeps_the_valid_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    first, first_lines = new_key("first", ["infer"])
    second, second_lines = new_key("second", ["infer"])
    store = KeyStore(write(path, first_lines), reload_s=0.0)
    assert store.find(first.encode())
    assert store.find(second.encode()) is None
    write(path, first_lines, second_lines)
    assert store.find(second.encode())
    write(path, "[keys.", "slip")
    assert store.find(first.encode())
    path.unlink()
    assert store.find(first.encode())
    write(path, second_lines)
    assert store.find(first.encode()) is None
    assert store.find(second.encode())
    write(path, "# nobody")
    assert store.find(second.encode()) is None


def test_a_key_keeps_its_bucket_when_another_key_changes(tmp_path: Path) -> None:
    key, lines = new_key("slow", ["infer"], rate_per_s=1e-6)
    path = write(tmp_path / "keys.toml", lines, "burst = 1")
    store = KeyStore(path, reload_s=0.0)
    found = store.find(key.encode())
    assert found is not None
    assert found.bucket is not None
    assert found.bucket.take() == 0
    write(path, lines, "burst = 1", new_key("other", ["infer"])[1])
    assert store.find(key.encode()) is found


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([], b""),
        ([(b"authorization", b"Bearer a")], b"a"),
        ([(b"authorization", b"bearer  a ")], b"a"),
        ([(b"x-api-key", b"a")], b"a"),
        ([(b"x-api-key", b"a"), (b"authorization", b"Bearer b")], b"b"),
        ([(b"authorization", b"Basic YTpi"), (b"x-api-key", b"a")], b"a"),  # a proxy's own
        ([(b"authorization", b"Bearer")], b""),
        ([(b"authorization", b"Bearer \t a\t ")], b"a"),
        ([(b"authorization", b"Bearer\ta")], b"a"),
        ([(b"authorization", b"Bearera")], b""),
        ([(b"authorization", b"Bearer a b")], b"a b"),  # no key has a blank
        ([(b"authorization", b"")], b""),
        ([(b"authorization", b"Bearer "), (b"x-api-key", b"a")], b"a"),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], b"a"),
        *[([(b"x-api-key", value)], b"a") for value in (b" a", b"a ", b"\ta\t", b" \t a \t ")],
        *[([(b"x-api-key", value)], b"") for value in (b"", b" ", b"\t")],
        ([(b"x-api-key", b" "), (b"x-api-key", b"a"), (b"x-api-key", b"b")], b"a"),
        ([(b"cookie", b"x-api-key=a")], b""),
    ],
)
def test_the_headers_that_carry_a_key(headers: list[tuple[bytes, bytes]], key: bytes) -> None:
    assert sent_secret(headers) == key


@pytest.mark.parametrize("size", [1, 5000])
def test_one_lookup_and_one_comparison_however_many_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    entries = [f'[keys.k{n}]\nsha256 = "{sha256(b"%d" % n).hexdigest()}"\nscopes = ["infer"]' for n in range(size)]
    store = KeyStore(write(tmp_path / "keys.toml", *entries), reload_s=60.0)
    compared: list[bytes] = []

    def counted(first: bytes, second: bytes) -> bool:
        compared.append(first)
        return first == second

    monkeypatch.setattr(api_keys, "compare_digest", counted)
    found = [store.find(b"0"), store.find(b"unknown")]
    assert [key.name if key else None for key in found] == ["k0", None]
    assert [len(each) for each in compared] == [32, 32]
