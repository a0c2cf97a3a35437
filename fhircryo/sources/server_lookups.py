"""What every way of reading a server has to look up: Medications, deleted patients, types held."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from fhircryo.fhir import refusals
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.search import Params, Searcher
from fhircryo.mapping.concepts import GRADINGS
from fhircryo.mapping.load import Mappings
from fhircryo.record.items import Item, Therapy
from fhircryo.sources.code_searches import code_searches
from fhircryo.sources.resource_types import lacked_types

LOG = logging.getLogger("fhircryo.source")

VALUES_PER_REQUEST = 25


class ListSearch:
    """Searches for lists of values; value by value on servers that do not support lists."""

    def __init__(self, take: Callable[[str, Params], None]) -> None:
        self._take = take
        self._together = VALUES_PER_REQUEST

    def search(
        self, kind: str, parameter: str, values: list[str], params: Mapping[str, str]
    ) -> None:
        """Search a type for all values of a parameter, with further parameters.

        Raises:
            HttpError: the server refuses a single value, or fails.
        """
        position = 0
        while position < len(values):
            batch = values[position : position + self._together]
            try:
                self._take(kind, {parameter: ",".join(batch), **params})
            except HttpError as error:
                if len(batch) == 1 or not refusals.request_unsupported(error):
                    raise
                LOG.info("%s: status %d for a list of values; one by one", kind, error.status)
                self._together = 1
                continue
            position += len(batch)


def fetch_medications(items: Mapping[str, Item], search: ListSearch) -> None:
    """Search the Medications that the therapies among the items refer to, by id.

    A Medication that is missing leaves its therapy unmapped, so every failure is an error but one:
    a server that does not have the type, or does not let us read it.

    Raises:
        HttpError: the server fails, or refuses a single id.
    """
    named = {item.medication for item in items.values() if type(item) is Therapy}
    ids = sorted(ref.removeprefix("Medication/") for ref in named if ref and ref not in items)
    try:
        search.search("Medication", "_id", ids, {})
    except HttpError as error:
        if not refusals.type_unavailable(error):
            raise
        LOG.warning("Medication: the server does not let us read it (%d)", error.status)


def deleted_patients(client: Client, patients: Iterable[str]) -> frozenset[str]:
    """Of patients without a Patient resource, those whose resource was deleted."""
    gone = set()
    for patient in sorted(patients):
        try:
            client.request("GET", f"{client.base}/Patient/{patient}")
        except HttpError as error:
            if refusals.deleted(error):
                gone.add(patient)
            elif not refusals.request_unsupported(error):
                raise
    if gone:
        LOG.info("%d patients are deleted on the server and are left out", len(gone))
    return frozenset(gone)


def types_held(
    searcher: Searcher, found: frozenset[str], unavailable: frozenset[str]
) -> frozenset[str]:
    """The types that a server holds.

    ``found``: types of which resources were read already. For the others whose absence would be
    evidence, the server is asked whether it has any. ``unavailable``: types that it does not have.
    """
    held = set(found)
    for kinds in lacked_types().values():
        if held.isdisjoint(kinds):
            asked = (kind for kind in kinds if kind not in unavailable)
            held.update(next(((kind,) for kind in asked if _any(searcher, kind, {})), ()))
    return frozenset(held - unavailable)


def graded_scales(searcher: Searcher, mappings: Mappings, found: frozenset[str]) -> frozenset[str]:
    """The scales of which a server holds Observations that grade, as ``types_held``."""
    return found.union(_further_scales(searcher, mappings, found))


def _further_scales(searcher: Searcher, mappings: Mappings, found: frozenset[str]) -> Iterator[str]:
    for concept, scale in GRADINGS.items():
        if not scale or scale in found:
            continue
        if any(_any(searcher, "Observation", one) for one in code_searches(mappings, (concept,))):
            yield scale


def _any(searcher: Searcher, kind: str, params: dict[str, str]) -> bool:
    """Whether a search finds any resource."""
    try:
        return searcher.any(kind, params)
    except HttpError as error:
        if refusals.request_unsupported(error):
            return False
        raise
