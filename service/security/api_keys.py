"""API keys: a TOML file of their hashes, and which key a request carries.

    python -m service.manage key viewer --scopes infer >> keys.toml

prints the key itself on standard error, once. A key is 256 random bits, so its plain SHA-256 cannot be turned back:
there is nothing to guess from. A slow hash (bcrypt, Argon2) is for passwords that people choose; here it would let
anybody take 50 ms of a processor with each wrong key.
"""

import secrets
import tomllib
from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from time import monotonic
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.security.token_bucket import Bucket, Moment, Own, Shared
from service.settings import InvalidSettings
from service.telemetry.log import log

Grant = Literal["infer", "operate", "metrics"]
Headers = Iterable[tuple[bytes, bytes]]
_PREFIX = "striate_"  # lets a scanner for leaked secrets know one when it sees it
_LOOK_S = 1.0
_NOBODY = bytes(32)


class Entry(BaseModel):
    """One key of the file; rate_per_s: requests a second, `burst` of them at once, 0 for no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[Grant], Field(min_length=1)]
    rate_per_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 10


class KeysFile(BaseModel):
    """The whole file: [keys.<id>] by id, which stands in the audit log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], Entry] = {}


class Key:
    """A key that is known; its bucket is None where its rate has no limit."""

    def __init__(self, name: str, entry: Entry, full_at: Moment) -> None:
        """full_at: where its bucket is kept."""
        self.name, self.entry = name, entry
        self.digest = bytes.fromhex(entry.sha256)
        self.scopes = entry.scopes
        self.bucket = Bucket(entry.rate_per_s, entry.burst, full_at) if entry.rate_per_s else None


class KeyStore:
    """The file's keys, read anew within a second of a change.

    Raises BadSettings where the file is bad at first; later such a file changes nothing.
    """

    def __init__(self, path: Path, *, together: Path | None = None) -> None:
        """together: a folder of the processes that hold a key to its rate together."""
        self._path, self._together = path, together
        if together:
            together.mkdir(exist_ok=True)
        self._seen, self._look_at = _stamp(path), monotonic() + _LOOK_S
        self._by_digest: dict[bytes, Key] = {}
        self._read()

    def find(self, presented: bytes) -> Key | None:
        """The key, in a time that tells neither how many keys there are nor how much of one was right.

        What is looked up and compared is the SHA-256 of what was presented: who gets a part of that right knows nothing
        of the key. One lookup, however many keys; one comparison, whether found or not.
        """
        if monotonic() >= self._look_at:
            self._look()
        digest = sha256(presented).digest()
        found = self._by_digest.get(digest)
        return found if compare_digest(found.digest if found else _NOBODY, digest) else None

    def _look(self) -> None:
        self._look_at = monotonic() + _LOOK_S
        try:
            if (stamp := _stamp(self._path)) == self._seen:
                return
            self._seen = stamp
            self._read()
            log.write("info", "keys", count=len(self._by_digest))
        except InvalidSettings as error:
            self._complain(error)

    def _read(self) -> None:
        """The file's keys; one that has not changed keeps its bucket."""
        try:
            entries = parse(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSettings(f"STRIATE_KEYS: it cannot be read: {error}") from error
        former = {(key.name, key.entry): key for key in self._by_digest.values()}
        now = [former.get((name, entry)) or Key(name, entry, self._moment(name)) for name, entry in entries.items()]
        self._by_digest = {key.digest: key for key in now}

    def _moment(self, name: str) -> Moment:
        return Shared(self._together / name) if self._together else Own()

    def _complain(self, error: InvalidSettings) -> None:
        """The keys that were right stay: a slip in the file must not lock everybody out."""
        log.write("error", "keys", kept=len(self._by_digest), reason=str(error))


def presented(headers: Headers) -> bytes:
    """The request's key, of `Authorization: Bearer` or else `X-API-Key`; empty where it has none."""
    found = b""
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
        if name == b"x-api-key":
            found = value
    return found


def new_key(name: str, scopes: Iterable[str], *, rate_per_s: float = 0.0) -> tuple[str, str]:
    """A new key and its lines for the file, which hold its hash alone. Raises BadSettings."""
    key = _PREFIX + secrets.token_urlsafe(32)
    listed = ", ".join(f'"{scope}"' for scope in scopes)
    lines = f'[keys.{name}]\nsha256 = "{sha256(key.encode()).hexdigest()}"\nscopes = [{listed}]\n'
    lines += f"rate_per_s = {rate_per_s}\n" if rate_per_s else ""
    parse(lines)
    return key, lines


def parse(text: str) -> dict[str, Entry]:
    """The file's text -> its keys by id. Raises BadSettings, which quotes no hash."""
    try:
        keys = KeysFile.model_validate(tomllib.loads(text)).keys
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"STRIATE_KEYS: no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSettings(f"STRIATE_KEYS: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if len({entry.sha256 for entry in keys.values()}) < len(keys):
        raise InvalidSettings("STRIATE_KEYS: two ids have the same key, so that a request would not tell which it is")
    return keys


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes with the file, also where Kubernetes exchanges the folder behind it."""
    try:
        found = path.stat()
    except OSError as error:
        raise InvalidSettings(f"STRIATE_KEYS: it cannot be read: {error}") from error
    return found.st_ino, found.st_mtime_ns, found.st_size
