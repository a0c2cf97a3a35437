"""The targets of the Makefile."""

import re
from pathlib import Path

_MAKEFILE = Path(__file__).parents[2] / "Makefile"
_RULE = re.compile(r"^([a-z][a-z -]*):(?!=)", re.MULTILINE)


def make_targets() -> set[str]:
    """The targets that have a rule; one rule may have several."""
    text = _MAKEFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return {name for names in _RULE.findall(text) for name in names.split()}
