"""The lines of a draft overlay, and what is already in them."""

import json
import re
from collections.abc import Iterable, Iterator

from fhircryo.setup.survey.survey_json import CodeRow

Lines = Iterator[str]

VERIFIED = 'verified: ""'
# Characters that YAML does not allow in a file, and those that would end a comment.
_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


class DraftedCodes:
    """The codes and texts in a draft, because an overlay may hold each of them only once."""

    def __init__(self) -> None:
        self._drafted: set[tuple[str, str]] = set()

    def add(self, system: str, code: str) -> bool:
        """Add a code or text; return whether it is new in the draft."""
        new = (system, code) not in self._drafted
        self._drafted.add((system, code))
        return new


def quoted(text: str) -> str:
    """Return a text as a YAML scalar on one line, whatever characters it contains."""
    return _UNPRINTABLE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False)
    )


def under(heading: str, lines: Iterable[str]) -> Lines:
    """Yield lines with their heading; it is left out above lines that are all comments."""
    found = list(lines)
    if any(not line.startswith("##") for line in found):
        yield heading
    yield from found


def counted(row: CodeRow) -> str:
    """Return how often a code is in the source, and its display."""
    span = f", {'-'.join(dict.fromkeys(row.years))}" if row.years else ""
    name = f" {quoted(row.display)}" if row.display else ""
    return f"resources {row.resources}, patients {row.patients}{span}{name}"
