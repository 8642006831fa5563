"""A description's YAML: plain strings, numbers, booleans, null, lists and dicts, read within bounds.

Refused is what makes much work of little text: deep nesting, aliases that multiply, tags. A date is a string, as is a
very long number.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from models.errors import PackageError, quoted
from models.package_files import MAX_DESCRIPTION_BYTES

MAX_DEPTH = 64
_MAX_SIZE, _VALUE_SIZE = 2 * MAX_DESCRIPTION_BYTES, 16  # in characters: of all together, and of each value besides
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the slow one where PyYAML was built without libyaml
_FRAME = (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)

# What a scalar without quotes may be besides a string, as in YAML 1.1, but for dates, octal and sexagesimal numbers.
_SCALAR = re.compile(
    r"(?P<null>~|null|Null|NULL|)"
    r"|(?P<true>yes|Yes|YES|true|True|TRUE|on|On|ON)"
    r"|(?P<false>no|No|NO|false|False|FALSE|off|Off|OFF)"
    r"|(?P<int>[-+]?(0|[1-9][0-9]{0,18}))"
    r"|(?P<float>[-+]?([0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40})([eE][-+][0-9]{1,3})?)"
    r"|(?P<special>[-+]?\.(inf|Inf|INF|nan|NaN|NAN))"
)
_CONVERT: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "true": lambda _: True,
    "false": lambda _: False,
    "int": int,
    "float": float,
    "special": lambda text: float(text.replace(".", "")),
}


def parse_yaml(text: bytes) -> Any:
    """Reads a document. Raises PackageError."""
    if len(text) > MAX_DESCRIPTION_BYTES:
        raise PackageError(
            f"The description (rdf.yaml) has {len(text):,} bytes; at most {MAX_DESCRIPTION_BYTES:,} are allowed."
        )
    try:
        documents = _Reader(yaml.parse(text, Loader=_Loader)).documents()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PackageError(f"The description (rdf.yaml) is not YAML: {error!s:.200}.") from error
    if len(documents) > 1:
        raise PackageError(f"The description (rdf.yaml) holds {len(documents)} YAML documents; it must be one.")
    return documents[0] if documents else None


def serialised(document: Mapping[str, Any]) -> bytes:
    """Returns a description's YAML, the same for the same description."""
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return text.encode()


class _Reader:
    """Values from events; those that an alias stands for count each time towards their size."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._size = 0
        self._anchors: dict[str, tuple[Any, int]] = {}

    def documents(self) -> list[Any]:
        return [self._value(event, 1) for event in self._events if not isinstance(event, _FRAME)]

    def _value(self, event: Any, depth: int) -> Any:
        """Returns the value that begins with this event."""
        if isinstance(event, yaml.AliasEvent):
            value, size = self._anchored(event)
            self._count(event, size)
            return value
        before = self._size
        self._count(event, _VALUE_SIZE)
        value = self._plain(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = value, self._size - before
        return value

    def _plain(self, event: Any, depth: int) -> Any:
        if event.tag:
            raise _refused(event, f"the tag {quoted(event.tag)}; plain types need none")
        if isinstance(event, yaml.ScalarEvent):
            self._count(event, len(event.value))
            return _scalar(event.value) if event.implicit[0] else event.value
        if depth > MAX_DEPTH:
            raise _refused(event, f"more than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(item, depth + 1) for item in self._items()]
        return self._mapping(depth)

    def _mapping(self, depth: int) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for event in self._items():
            if not isinstance(event, yaml.ScalarEvent):
                raise _refused(event, "a key that is no scalar")
            if (key := self._value(event, depth)) in mapping:
                raise _refused(event, f"the key {quoted(key)} twice")
            mapping[key] = self._value(next(self._events), depth + 1)
        return mapping

    def _items(self) -> Iterator[Any]:
        """Yields the events that begin the items of a list or mapping."""
        for event in self._events:
            if isinstance(event, yaml.CollectionEndEvent):
                return
            yield event

    def _anchored(self, alias: Any) -> tuple[Any, int]:
        if alias.anchor not in self._anchors:  # within the value that it names, too
            raise _refused(alias, f"the alias {quoted(alias.anchor)}, of nothing before it")
        return self._anchors[alias.anchor]

    def _count(self, event: Any, size: int) -> None:
        self._size += size
        if self._size > _MAX_SIZE:
            raise _refused(event, f"too many values; at most {_MAX_SIZE // _VALUE_SIZE:,} are allowed, with aliases")


def _scalar(text: str) -> Any:
    match = _SCALAR.fullmatch(text)
    return _CONVERT[match.lastgroup](text) if match and match.lastgroup else text


def _refused(event: Any, what: str) -> PackageError:
    return PackageError(f"The description (rdf.yaml) is not plain YAML: line {event.start_mark.line + 1} has {what}.")
