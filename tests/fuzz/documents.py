"""Overlays, protocols and settings files, mutated by their structure and as text."""

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.fuzz import hostile
from tests.fuzz.json_text import Literal, Twice
from tests.fuzz.mutate import places
from tests.fuzz.seeds import EXAMPLES, ROOT

_MAPPINGS = ROOT / "mappings"
_OVERLAYS = (
    EXAMPLES / "site-overlay" / "site.yaml",
    EXAMPLES / "synthea" / "site.yaml",
    EXAMPLES / "hl7" / "site.yaml",
)
_PROTOCOLS = tuple(sorted((_MAPPINGS / "protocols").glob("*.yaml")))
_SETTINGS = EXAMPLES / "operations" / "fhircryo.toml"

_SCALARS = (
    *("", "~", "yes", "0", "-1", "1e999999999", "0x1F", "1_000", ".nan", "-.inf", "0o17", "017"),
    *("2016-02-30", "2016-13-01", "9999-12-31T23:59:60Z", "2001-01-01 25:00:00", "12:30:45"),
    *("'", '"', "[", "{", "[]", "{}", "[[[[[[", "*a", "&a", "&a [*a]", "<<: *a", "!!binary aGk="),
    *(
        "!!python/name:os.system",
        "!x y",
        "!!set {a}",
        "!!omap [a: 1]",
        "|",
        ">-",
        "- a",
        "? a",
        ": ",
    ),
    *('"\\x00"', '"\\ud800"', '"\\U0010ffff"', '"\\x1b[2J"', '"\\u202e"', "\t", "#", "%", "@", "`"),
    *(
        "=",
        "null",
        "!!null x",
        "!!int x",
        "!!float x",
        "!!timestamp x",
        "!!bool maybe",
        "---",
        "...",
    ),
)


@dataclass(frozen=True)
class Document:
    """A file of a user: ``kind``: overlay, protocol or settings."""

    kind: str
    name: str
    content: bytes


def document(kind: str, number: str, rng: Random) -> Document:
    """A mutated document; ``number`` makes its name one that no other document has."""
    if kind == "settings":
        text = _as_text(_SETTINGS.read_text("utf-8") + _MORE_SETTINGS, rng, rng.randint(1, 4))
        return Document(kind, f"settings-{number}.toml", _as_bytes(text, rng))
    files = _OVERLAYS if kind == "overlay" else _PROTOCOLS
    source = rng.choice(files)
    if rng.random() < 0.3:
        text = _as_text(source.read_text("utf-8"), rng, rng.randint(1, 3))
    else:
        text = yaml.safe_dump(
            _mutated(_parsed(source), rng), sort_keys=False, allow_unicode=rng.random() < 0.5
        )
        if rng.random() < 0.2:
            text = _as_text(text, rng, 1)
    return Document(kind, f"{kind}-{number}.yaml", _as_bytes(text, rng))


_MORE_SETTINGS = """
timezone = "Europe/Amsterdam"
complete_types = ["AdverseEvent"]
smallest_group = 5
log_format = "json"
test_data = true
"""


@cache
def _parsed(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


@cache
def _values() -> dict[Any, list[Any]]:
    """The values under each key of all overlays, protocols and shipped mappings."""
    found: dict[Any, list[Any]] = {}
    for path in (*_OVERLAYS, *sorted(_MAPPINGS.rglob("*.yaml"))):
        for place in places(_parsed(path)):
            known = found.setdefault(place.key, [])
            if len(known) < 100:
                known.append(place.value)
    return found


def _mutated(content: Any, rng: Random) -> Any:
    content = copy.deepcopy(content)
    values = _values()
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        found = places(content)
        if not found:
            return content
        place = rng.choice(found)
        kind = rng.randrange(6)
        if kind == 0:
            place.put(_plain(hostile.anything(rng)))
        elif kind == 1:
            place.put(copy.deepcopy(rng.choice(values.get(place.key, [None]))))
        elif kind == 2:
            place.drop()
        elif kind == 3 and isinstance(place.holder, dict):
            key = rng.choice([one for one in values if not isinstance(one, int)])
            place.holder[key] = copy.deepcopy(rng.choice(values[key]))
        elif kind == 4 and isinstance(place.holder, dict):
            place.holder[_key(rng)] = place.value
        elif isinstance(place.value, list):
            place.put(place.value * rng.choice((2, 3, 100)))
        else:
            place.put([place.value])
    return content


def _key(rng: Random) -> Any:
    return rng.choice((None, True, 1, 1.5, "", "<<", "=", "base", "\x00", "\u202e", "x" * 2000))


def _plain(value: Any) -> Any:
    """A value that YAML can be made of."""
    if isinstance(value, Literal):
        return value.text
    return value.content if isinstance(value, Twice) else value


def _as_text(text: str, rng: Random, times: int) -> str:
    """The text with some lines changed, repeated, indented, or given another value."""
    for _ in range(times):
        lines = text.split("\n")
        number = rng.randrange(len(lines))
        line = lines[number]
        kind = rng.randrange(7)
        if kind == 0:
            del lines[number]
        elif kind == 1:
            lines.insert(number, rng.choice(lines))
        elif kind == 2:
            lines[number] = rng.choice((" ", "\t", "  ", "- ")) + line
        elif kind == 3:
            separator = "= " if "= " in line else ": "
            before, found, _ = line.partition(separator)
            lines[number] = f"{before}{found or separator}{rng.choice(_SCALARS)}"
        elif kind == 4:
            where = rng.randrange(len(line) + 1)
            lines[number] = line[:where] + rng.choice(_SCALARS) + line[where:]
        elif kind == 5:
            where = rng.randrange(len(line) + 1)
            lines[number] = line[:where]
        else:
            lines[number] = line.lstrip()
        text = "\n".join(lines)
    return text


def _as_bytes(text: str, rng: Random) -> bytes:
    if rng.random() < 0.05:
        return text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")), "replace")
    if rng.random() < 0.03:
        return text.encode("latin-1", "replace") + b"\xff\xfe"
    return text.encode("utf-8", "surrogatepass")
