"""The lines of a draft overlay: proposals as YAML that is commented out, and remarks.

The YAML library writes every proposal. It writes a text of the source in double quotes and on one
line, and every character that is not printable as an escape sequence. Remarks are escaped in the
same way. No line can therefore end before its ``#`` has done so.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import yaml

from fhircryo.logs import escaped
from fhircryo.setup.survey.survey_json import CodeRow

Lines = Iterator[str]

#: The marks of a line that is meant to become part of the overlay, and of a remark.
_PROPOSAL, _REMARK = "#", "##"


class Word(str):
    """A word of this program, such as the name of a field; all other texts are quoted."""

    __slots__ = ()


class OneLine(dict[str, Any]):
    """A mapping that is written on one line."""


class OneLineList(list[Any]):
    """A list that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes words of this program as they are, and texts of the source in double quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal parts twice rather than as an anchor and an alias."""
        del data
        return True


_MAP, _SEQUENCE, _STRING = (f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str"))
_Dumper.add_representer(Word, lambda dumper, data: dumper.represent_scalar(_STRING, str(data)))
_Dumper.add_representer(str, lambda dumper, data: dumper.represent_scalar(_STRING, data, style='"'))
_Dumper.add_representer(
    OneLine, lambda dumper, data: dumper.represent_mapping(_MAP, data.items(), flow_style=True)
)
_Dumper.add_representer(
    OneLineList, lambda dumper, data: dumper.represent_sequence(_SEQUENCE, data, flow_style=True)
)


def _number(dumper: _Dumper, value: Decimal) -> yaml.ScalarNode:
    text = f"{value:f}"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


_Dumper.add_representer(Decimal, _number)


def fields(**values: Any) -> dict[str, Any]:
    """Return a mapping whose keys are words of this program; fields that are None are left out."""
    return {Word(key): value for key, value in values.items() if value is not None}


def _written(value: Any) -> str:
    written: str = yaml.dump(
        value,
        Dumper=_Dumper,
        allow_unicode=True,
        default_flow_style=False,
        sort_keys=False,
        width=float("inf"),
    )
    # The library leaves some invisible characters as they are, such as those that turn the
    # direction of writing. They can only stand within double quotes, where an escape is the same.
    return "\n".join(map(escaped, written.removesuffix("\n").removesuffix("\n...").split("\n")))


def quoted(text: str) -> str:
    """Return a text as a YAML scalar on one line, whatever characters it contains."""
    return _written(str(text))


def proposal(value: Any, indent: int) -> Lines:
    """Yield the lines that write a value, a list or a mapping as YAML once the ``#`` is removed."""
    for line in _written(value).split("\n"):
        yield f"{_PROPOSAL}{' ' * indent}{line}"


def remark(text: str, indent: int) -> Lines:
    """Yield the line of a remark, which remains a comment."""
    yield f"{_REMARK}{' ' * indent}{escaped(text)}"


def under(heading: str, indent: int, lines: Iterable[str]) -> Lines:
    """Yield lines with the key above them; it is left out above lines that are all remarks.

    ``heading``: the name of a field, concept, scale or instrument.
    """
    found = list(lines)
    if any(not line.startswith(_REMARK) for line in found):
        yield f"{_PROPOSAL}{' ' * indent}{escaped(heading)}:"
    yield from found


class DraftedCodes:
    """The codes and texts in a draft, because an overlay may hold each of them only once."""

    def __init__(self) -> None:
        self._drafted: set[tuple[str, str]] = set()

    def add(self, system: str, code: str) -> bool:
        """Add a code or text; return whether it is new in the draft."""
        new = (system, code) not in self._drafted
        self._drafted.add((system, code))
        return new


def is_mappable(*texts: str) -> bool:
    """Return whether an overlay can hold these texts exactly: its format ignores outer blanks."""
    return all(text and text == text.strip() for text in texts)


def counted(row: CodeRow) -> str:
    """Return how often a code is in the source, and its display."""
    span = f", {'-'.join(dict.fromkeys(row.years))}" if row.years else ""
    name = f" {quoted(row.display)}" if row.display else ""
    return f"resources {row.resources}, patients {row.patients}{span}{name}"
