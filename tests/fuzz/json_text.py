"""Writes JSON as a hostile or careless program does: what the standard library refuses to write."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Literal:
    """A piece of text that is written as it is: ``NaN``, ``1e5000``, brackets without end."""

    text: str


@dataclass(frozen=True)
class Twice:
    """An object in which one key occurs twice, with two values."""

    content: dict[str, Any]
    key: str
    other: Any


@dataclass(frozen=True)
class Style:
    """How an object is written: the order of its keys, escapes, and blanks."""

    shuffled: bool = False
    escaped: bool = False
    spaced: bool = False


PLAIN = Style()


def written(tree: Any, style: Style = PLAIN, rng: Random | None = None) -> str:
    """Return a tree as one line of JSON."""
    if isinstance(tree, Literal):
        return tree.text
    if isinstance(tree, Twice):
        inner = written(tree.content, style, rng)[:-1]
        comma = "," if tree.content else ""
        return f"{inner}{comma}{json.dumps(tree.key)}:{written(tree.other, style, rng)}}}"
    comma, colon = (" , ", " : ") if style.spaced else (",", ":")
    if isinstance(tree, dict):
        pairs = list(tree.items())
        if style.shuffled and rng is not None:
            rng.shuffle(pairs)
        made = [f"{_text(key, style)}{colon}{written(value, style, rng)}" for key, value in pairs]
        return "{" + comma.join(made) + "}"
    if isinstance(tree, list):
        return "[" + comma.join(written(one, style, rng) for one in tree) + "]"
    if isinstance(tree, str):
        return _text(tree, style)
    return json.dumps(tree)


def _text(text: str, style: Style) -> str:
    # What UTF-8 cannot hold, half of a pair of surrogates, can only be written as an escape.
    alone = any("\ud800" <= letter <= "\udfff" for letter in text)
    return json.dumps(text, ensure_ascii=style.escaped or alone)
