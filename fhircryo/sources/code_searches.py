"""The searches by code that a server is asked, from the mapping's codes."""

from collections.abc import Iterable

from fhircryo.errors import UsageError
from fhircryo.mapping.load import Mappings
from fhircryo.sources.resource_types import resource_type

_CODES_PER_REQUEST = 40


def observation_searches(mappings: Mappings) -> list[dict[str, str]]:
    """The parameters of the searches for Observations.

    Raises:
        UsageError: as ``code_searches``.
    """
    return code_searches(mappings, resource_type("Observation").concepts)


def code_searches(mappings: Mappings, concepts: Iterable[str]) -> list[dict[str, str]]:
    """The parameters of the searches for concepts: lists of codes, and each text by itself.

    Raises:
        UsageError: a code is mapped with its descendants, which no server can be asked for.
    """
    names = list(concepts)
    tokens = []
    for name in names:
        for code in mappings.codes_of(name):
            if getattr(code, "descendants", None):
                raise UsageError(
                    f"{code.system}|{code.code} of {name}: a server is searched by whole codes;"
                    " list the descendants that are used, in the place of descendants: prefix"
                )
            tokens.append(f"{code.system}|{code.code}")
    step = _CODES_PER_REQUEST
    lists = [",".join(tokens[n : n + step]) for n in range(0, len(tokens), step)]
    # A comma separates values, so a comma in a text is escaped.
    texts = [
        text.text.replace("\\", "\\\\").replace(",", "\\,")
        for name in names
        for text in mappings.texts_of(name)
    ]
    return [*({"code": codes} for codes in lists), *({"code:text": text} for text in texts)]
