"""Copies of protocols: the text to start one from, and the check that a copy has its own id."""

import json
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from fhircryo.errors import UsageError
from fhircryo.mapping.protocol import Protocol
from fhircryo.mapping.yamlfile import Document

_OWN_ID = "# a changed copy needs an id of its own"
#: The fields that say nothing of the numbers.
_WORDS = frozenset({"version", "title", "source", "published"})
_OWN_SOURCE = "# in your own words: where the numbers come from"


def text_for_copy(text: str, protocol: Protocol) -> str:
    """The YAML of a protocol as the beginning of another one.

    Its source and its published figures are those of a publication, so that a copy does not take
    them over: the source says what the copy was adapted from, and the figures are left out.
    """
    lines = text.splitlines()
    made: list[str] = []
    for key, block in _blocks(lines, text):
        if key == "id":
            made.append(f"id: {protocol.id}  {_OWN_ID}")
            made += block[1:]
        elif key == "source":
            source = json.dumps(f"adapted from {protocol.name}", ensure_ascii=False)
            made += [f"source: {source}  {_OWN_SOURCE}", *_trailing(block)]
        elif key == "published":
            made += _trailing(block)
        else:
            made += block
    return "\n".join(made).rstrip() + "\n"


def _blocks(lines: list[str], text: str) -> Iterator[tuple[str, list[str]]]:
    """The keys of the top level, each with its lines; first those before any key, without one."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = node.value if isinstance(node, yaml.MappingNode) else []
    starts = [(str(key.value), key.start_mark.line) for key, _ in keys]
    ends = [start for _, start in starts[1:]] + [len(lines)]
    yield "", lines[: starts[0][1]] if starts else lines
    for (key, start), end in zip(starts, ends, strict=True):
        yield key, lines[start:end]


def _trailing(block: list[str]) -> list[str]:
    """The empty lines and comments at the end of a block, which belong to what follows."""
    kept = len(block)
    while kept > 1 and (not block[kept - 1].strip() or block[kept - 1].startswith("#")):
        kept -= 1
    return block[kept:]


def check_own_id(protocol: Protocol, document: Document, shipped: Protocol) -> None:
    """Check that a file with the id of a shipped protocol is that protocol.

    Endpoints of the two would replace each other on a target, and could not be told apart.

    Raises:
        UsageError: it differs; the first difference is named, numbers before words.
    """
    found = sorted(_differences(protocol, shipped), key=lambda one: one[0][0] in _WORDS)
    for loc, ours, theirs in found[:1]:
        raise UsageError(
            f"{document.describe('id')}: {protocol.id} is the id of a shipped protocol, and this"
            f" file differs from it: {'.'.join(loc)} (line {document.line(loc)}) is"
            f" {_shown(ours)}, not {_shown(theirs)}; give the file an id of its own"
        )


def _differences(
    one: BaseModel, other: BaseModel, loc: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The fields that differ: their place, and their values in the two."""
    for name, value in one:
        place = (*loc, type(one).model_fields[name].alias or name)
        theirs = getattr(other, name)
        if isinstance(value, BaseModel) and isinstance(theirs, BaseModel):
            yield from _differences(value, theirs, place)
        elif value != theirs:
            yield place, value, theirs


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, BaseModel):
        return _shown(value.model_dump(by_alias=True, exclude_none=True))
    if isinstance(value, tuple):
        return f"{len(value)} entries"
    return "none" if value is None else str(value)
