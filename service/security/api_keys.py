"""API keys: a TOML file of key hashes, and the lookup of the key that a request carries.

    python -m service.manage key viewer --scopes infer >> keys.toml

prints the key itself once, on standard error. A key is 256 random bits, so its SHA-256 cannot be inverted by guessing.
A slow hash (bcrypt, Argon2) protects passwords that people choose. Here it would let anyone burn 50 ms of CPU time with
each wrong key.
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

from service.security.token_bucket import LocalTimestamp, SharedTimestamp, Timestamp, TokenBucket
from service.settings import InvalidSettings
from service.telemetry.log import log

KeyScope = Literal["infer", "operate", "metrics"]
Headers = Iterable[tuple[bytes, bytes]]
_PREFIX = "striate_"  # so that scanners for leaked secrets recognise a key
_RELOAD_S = 1.0
_NO_DIGEST = bytes(32)


class KeyEntry(BaseModel):
    """A key of the file. rate_per_s: requests per second, with bursts of up to `burst`; 0 is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[KeyScope], Field(min_length=1)]
    rate_per_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 10


class KeysFile(BaseModel):
    """The whole file: a table [keys.<id>] for each key. The id appears in the audit log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], KeyEntry] = {}


class ApiKey:
    """An API key. bucket: its token bucket, None for a key without a rate limit."""

    def __init__(self, name: str, entry: KeyEntry, full_at: Timestamp) -> None:
        """full_at: holds the state of the token bucket."""
        self.name, self.entry = name, entry
        self.digest = bytes.fromhex(entry.sha256)
        self.scopes = entry.scopes
        self.bucket = TokenBucket(entry.rate_per_s, entry.burst, full_at) if entry.rate_per_s else None


class KeyStore:
    """The keys of the file, reloaded within a second of a change.

    Raises InvalidSettings if the file is invalid at startup. A file that becomes invalid later changes nothing.
    """

    def __init__(self, path: Path, *, shared_folder: Path | None = None, reload_s: float = _RELOAD_S) -> None:
        """shared_folder: where several processes share the keys' token buckets. reload_s: time between two checks."""
        self._path, self._shared_folder, self._reload_s = path, shared_folder, reload_s
        if shared_folder:
            shared_folder.mkdir(exist_ok=True)
        self._stamp, self._check_at = _stamp(path), monotonic() + reload_s
        self._by_digest: dict[bytes, ApiKey] = {}
        self._read()

    def find(self, secret: bytes) -> ApiKey | None:
        """Returns the key, in a time that reveals neither the number of keys nor how much of a secret was right.

        The SHA-256 of the secret is looked up and compared, so a partly right digest says nothing about a key. There is
        one lookup, however many keys there are, and one comparison, whether or not the key exists.
        """
        if monotonic() >= self._check_at:
            self._reload_if_changed()
        digest = sha256(secret).digest()
        key = self._by_digest.get(digest)
        return key if compare_digest(key.digest if key else _NO_DIGEST, digest) else None

    def _reload_if_changed(self) -> None:
        self._check_at = monotonic() + self._reload_s
        try:
            if (stamp := _stamp(self._path)) == self._stamp:
                return
            self._stamp = stamp
            self._read()
            log.write("info", "API keys reloaded", count=len(self._by_digest))
        except InvalidSettings as error:
            # The valid keys stay: a typing error in the file must not lock everybody out.
            log.write("error", "API keys not reloaded", active=len(self._by_digest), reason=str(error))

    def _read(self) -> None:
        """Reads the file. A key whose entry is unchanged keeps its token bucket."""
        try:
            entries = parse(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSettings(f"STRIATE_KEYS: the file cannot be read: {error}") from error
        current = {(key.name, key.entry): key for key in self._by_digest.values()}
        keys = [current.get(each) or ApiKey(*each, self._timestamp(each[0])) for each in entries.items()]
        self._by_digest = {key.digest: key for key in keys}

    def _timestamp(self, name: str) -> Timestamp:
        return SharedTimestamp(self._shared_folder / name) if self._shared_folder else LocalTimestamp()


def sent_secret(headers: Headers) -> bytes:
    """Returns the request's key: the first `Authorization: Bearer`, else the first `X-API-Key`, else empty.

    Blanks around a key, which HTTP ignores, and headers without one do not count.
    """
    by_api_key = b""
    for name, value in headers:
        if name == b"authorization":
            scheme, *secret = value.split(None, 1)[:2] or (b"",)
            if scheme.lower() == b"bearer" and secret:
                return secret[0].rstrip()
        elif name == b"x-api-key":
            by_api_key = by_api_key or value.strip()
    return by_api_key


def new_key(name: str, scopes: Iterable[str], *, rate_per_s: float = 0.0) -> tuple[str, str]:
    """Returns a new key, and its lines for the file, which hold only its hash. Raises InvalidSettings."""
    key = _PREFIX + secrets.token_urlsafe(32)
    quoted = ", ".join(f'"{scope}"' for scope in scopes)
    lines = f'[keys.{name}]\nsha256 = "{sha256(key.encode()).hexdigest()}"\nscopes = [{quoted}]\n'
    lines += f"rate_per_s = {rate_per_s}\n" if rate_per_s else ""
    parse(lines)
    return key, lines


def parse(text: str) -> dict[str, KeyEntry]:
    """Parses the file's text into its keys by id. Raises InvalidSettings, whose message quotes no hash."""
    try:
        keys = KeysFile.model_validate(tomllib.loads(text)).keys
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"STRIATE_KEYS: not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSettings(f"STRIATE_KEYS: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if len({entry.sha256 for entry in keys.values()}) < len(keys):
        raise InvalidSettings("STRIATE_KEYS: two ids have the same key, so a request could not be attributed to one")
    return keys


def _stamp(path: Path) -> tuple[int, ...]:
    """Returns a value that changes with the file, including when Kubernetes swaps the folder behind it."""
    try:
        status = path.stat()
    except OSError as error:
        raise InvalidSettings(f"STRIATE_KEYS: the file cannot be read: {error}") from error
    return status.st_ino, status.st_mtime_ns, status.st_size
