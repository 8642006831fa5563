"""The table in docs/configuration.md, generated from service/settings.py by `python -m docs.configuration`."""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from service.settings import PREFIX, Settings

PAGE = Path(__file__).with_suffix(".md")
COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"
BEGIN, END = "<!-- written by python -m docs.configuration -->\n", "<!-- end of what is written -->\n"
OF_THE_MACHINE = {"session_threads": "processors, at most 8", "worker_threads": "processors, at most 16"}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def allowed(field: FieldInfo) -> str:
    """Returns the choices or bounds of a setting, or a dash if it has neither."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    bounds = [
        (sign, getattr(rule, name)) for rule in field.metadata for name, sign in SIGNS.items() if hasattr(rule, name)
    ]
    return ", ".join(f"{sign} {value}" for sign, value in bounds) or "-"


def default(name: str, field: FieldInfo) -> str:
    if name in OF_THE_MACHINE:
        return OF_THE_MACHINE[name]
    value = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
    return f"`{value}`" if value else "(empty)"


def table() -> str:
    """Returns the table, one row per setting, in the order of the code."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {default(name, field)} | {allowed(field)} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return "| variable | default | allowed | meaning |\n|---|---|---|---|\n" + "".join(rows)


def page(text: str) -> str:
    """Returns the page with its table updated. Raises ValueError if the page has no place for it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE.name} has no lines {BEGIN.strip()} and {END.strip()}")
    return before + begin + table() + end + after


def compose(text: str) -> str:
    """docker-compose.yml with a line for each setting to which it gives no value of its own."""
    valued = set(re.findall(rf"^      ({PREFIX}\w+): .", text, re.MULTILINE)) - {f"{PREFIX}DEVICE"}  # of striate-gpu
    names = sorted({PREFIX + name.upper() for name in Settings.model_fields} - valued)
    lines = "".join(f"      {name}:\n" for name in names)
    return re.sub(rf"(?:^      {PREFIX}\w+:\n)+", lines, text, count=1, flags=re.MULTILINE)


if __name__ == "__main__":
    COMPOSE.write_text(compose(COMPOSE.read_text()))
    PAGE.write_text(page(PAGE.read_text()))
