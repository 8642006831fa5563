"""A binary answer: the bytes, what they are, and the facts that its headers carry."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Picture:
    """facts: header name without "X-Striate-" -> value, any text."""

    body: bytes
    media_type: str
    facts: Mapping[str, str] = field(default_factory=dict)
