"""The searches by code that a server is asked, from the mapping's codes.

A PSA result or a finding may stand in a component of an Observation whose own code says nothing.
Source of the search parameters: https://hl7.org/fhir/R4/observation.html#search
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from fhircryo.errors import UsageError
from fhircryo.fhir import refusals
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.search import Searcher
from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.load import Mappings
from fhircryo.sources.resource_types import resource_type

LOG = logging.getLogger("fhircryo.source")

_CODES_PER_REQUEST = 40
_CODE = "code"
_IN_COMPONENTS = ("Observation", "component.code")

#: What is lost where a server cannot search the codes of components.
WITHOUT_COMPONENTS = "a PSA result or finding that stands only in a component is not found"


class ComponentSearch(StrEnum):
    """The parameter by which a server finds Observations by the codes of their components.

    ``COMBINED``: by the Observation's own code or a component's, in one search; ``SEPARATE``: by a
    second search; ``NONE``: not at all.
    """

    COMBINED = "combo-code"
    SEPARATE = "component-code"
    NONE = ""


def stated_component_search(can: Capabilities) -> ComponentSearch:
    """The first parameter for the codes of components that the CapabilityStatement lists."""
    return next(_stated(can))


def component_search(
    can: Capabilities, searcher: Searcher, mappings: Mappings, beside: Mapping[str, str]
) -> ComponentSearch:
    """The first parameter for the codes of components that a server lists and does not refuse.

    ``beside``: further parameters of the searches that will be made, with single values. A trial
    search tells whether the server refuses a parameter that it lists.

    Raises:
        HttpError: the server refuses the trial for another reason than its parameters, or fails.
        UsageError: as ``code_searches``.
    """
    for how in _stated(can):
        if how is ComponentSearch.NONE or not _refused(searcher, mappings, how, beside):
            return how
    return ComponentSearch.NONE


def warn_without_components(how: ComponentSearch) -> None:
    """Log a warning if a server cannot search the codes of components."""
    if how is ComponentSearch.NONE:
        LOG.warning(
            "Observation: the server supports neither combo-code nor component-code; %s",
            WITHOUT_COMPONENTS,
        )


def observation_searches(
    mappings: Mappings, how: ComponentSearch, concepts: Iterable[str] | None = None
) -> list[dict[str, str]]:
    """The parameters of the searches for Observations; several may find the same Observation.

    ``concepts``: by default all that Observations are searched by. Those that only an Observation's
    own code states are searched by ``combo-code`` as well, which saves a request.

    Raises:
        UsageError: as ``code_searches``.
    """
    names = list(resource_type("Observation").concepts if concepts is None else concepts)
    if how is ComponentSearch.COMBINED:
        return code_searches(mappings, names, how)
    searches = code_searches(mappings, names)
    if how is ComponentSearch.SEPARATE:
        searches += code_searches(mappings, filter(_in_components, names), how)
    return searches


def code_searches(
    mappings: Mappings, concepts: Iterable[str], parameter: str = _CODE
) -> list[dict[str, str]]:
    """The parameters of the searches for concepts: lists of codes, and each text by itself.

    ``parameter``: the search parameter for codes.

    Raises:
        UsageError: a code is mapped with its descendants, which no server can be asked for.
    """
    names = list(concepts)
    tokens: dict[str, None] = {}
    for name in names:
        for code in mappings.codes_of(name):
            if getattr(code, "descendants", None):
                raise UsageError(
                    f"{code.system}|{code.code} of {name}: a server is searched by whole codes;"
                    " list the descendants that are used, in the place of descendants: prefix"
                )
            tokens[f"{code.system}|{code.code}"] = None
    step = _CODES_PER_REQUEST
    each = list(tokens)
    lists = [",".join(each[n : n + step]) for n in range(0, len(each), step)]
    # A comma separates values, so a comma in a text is escaped.
    texts = [
        text.text.replace("\\", "\\\\").replace(",", "\\,")
        for name in names
        for text in mappings.texts_of(name)
    ]
    return [
        *({str(parameter): codes} for codes in lists),
        *({f"{parameter}:text": text} for text in texts),
    ]


def _in_components(concept: str) -> bool:
    """Whether a component can state a concept for its Observation."""
    return concept in CONCEPTS and CONCEPTS[concept].is_read_from(*_IN_COMPONENTS)


def _stated(can: Capabilities) -> Iterator[ComponentSearch]:
    """Yield the ways that a CapabilityStatement lists, the preferred one first, then ``NONE``."""
    for how in (ComponentSearch.COMBINED, ComponentSearch.SEPARATE):
        if can.searches("Observation", how):
            yield how
    yield ComponentSearch.NONE


def _refused(
    searcher: Searcher, mappings: Mappings, how: ComponentSearch, beside: Mapping[str, str]
) -> bool:
    """Whether a server refuses a search by the codes of components."""
    names = filter(_in_components, resource_type("Observation").concepts)
    searches = code_searches(mappings, names, how)
    if not searches:
        return False
    try:
        searcher.any("Observation", {**beside, **searches[0]})
    except HttpError as error:
        if not refusals.parameter_unsupported(error):
            raise
        LOG.info("Observation: status %d for a search by %s", error.status, how)
        return True
    return False
