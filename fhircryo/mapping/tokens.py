"""Values of elements in the form in which they are compared: codes, folded texts, statuses."""

from fhircryo.mapping.normalise import folded
from fhircryo.mapping.schema import (
    CodeRef,
    TextRef,
)

#: A value of an element: (system, code) of a coding, the folded form of a text, or a status.
Token = tuple[str, str] | str


def token(value: CodeRef | TextRef | str) -> Token:
    """Return the value of a mapping entry in the form in which it is compared."""
    if isinstance(value, CodeRef):
        return (value.system, value.code)
    return folded(value.text) if isinstance(value, TextRef) else value
