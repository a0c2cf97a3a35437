"""What every way of reading a server has to look up: Medications, deleted patients, types held."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from fhircryo.errors import SourceError
from fhircryo.fhir import refusals
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.search import Params, Searcher, head_of
from fhircryo.fhir.unexpected import described
from fhircryo.mapping.concepts import GRADINGS
from fhircryo.mapping.load import Mappings
from fhircryo.record.items import Item, Therapy
from fhircryo.sources.code_searches import code_searches
from fhircryo.sources.resource_types import MEDICATION, lacked_types, optional_types
from fhircryo.sources.source import ReadRequest

LOG = logging.getLogger("fhircryo.source")

VALUES_PER_REQUEST = 25


class _Match(msgspec.Struct):
    id: str | None = None
    subject: dict[str, object] | None = None


_MATCH = msgspec.json.Decoder(_Match)


@dataclass(frozen=True)
class Named:
    """The ids of matches, and those of the patients whom they concern."""

    ids: set[str] = field(default_factory=set)
    subjects: set[str] = field(default_factory=set)

    def add(self, matches: Iterable[bytes]) -> None:
        """Add matches, as JSON."""
        for line in matches:
            try:
                match = _MATCH.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            self.ids.add(match.id or "")
            subject = str((match.subject or {}).get("reference", ""))
            self.subjects.add(subject.partition("/_history/")[0].rpartition("/")[2])

    def merge(self, other: "Named") -> None:
        """Add what others name."""
        self.ids.update(other.ids)
        self.subjects.update(other.subjects)


#: Searches a type, takes in what is found, and returns what it names.
Take = Callable[[str, Params], Named]
#: Takes in a resource of a type that was read by its id, as JSON.
TakeOne = Callable[[str, bytes], None]


class ListSearch:
    """Searches for lists of values; value by value on servers that do not support lists.

    Some servers reject a list. Others honour only one of its values and say nothing: where the
    matches concern at most one of several patients, the others are searched one by one, once per
    type, until an answer has shown that lists are honoured.
    """

    def __init__(self, take: Take, take_one: TakeOne, reads: "SingleReads") -> None:
        self._take = take
        self._take_one = take_one
        self._reads = reads
        self._together = VALUES_PER_REQUEST
        self._honoured = False
        self._tried: set[str] = set()

    def search(
        self, kind: str, parameter: str, values: list[str], params: Mapping[str, str]
    ) -> None:
        """Search a type for all values of a parameter, with further parameters.

        Raises:
            HttpError: the server refuses a single value, or fails.
        """
        self._search(kind, parameter, values, params)

    def search_by_patient(
        self, kind: str, parameter: str, values: list[str], params: Mapping[str, str]
    ) -> None:
        """Search a type for patients, and make sure that lists of them are honoured.

        Raises:
            HttpError: the server refuses a single value, or fails.
        """
        first = values[: self._together]
        named = self._search(kind, parameter, first, params).subjects
        if len(named) > 1:
            self._honoured = True
        untried = not self._honoured and kind not in self._tried
        if untried and len(first) > 1 and self._together > 1:
            self._tried.add(kind)
            rest = [value for value in first if value.rpartition("/")[2] not in named]
            named_singly = [self._search(kind, parameter, [one], params).subjects for one in rest]
            if any(named_singly):
                self._one_by_one(kind)
        self._search(kind, parameter, values[len(first) :], params)

    def search_by_id(self, kind: str, ids: list[str]) -> None:
        """Search a type for ids, and make sure that lists of them are honoured.

        If a resource is missing from the answer, can be read, and is found alone, lists are not
        honoured. One that is not found alone either is taken as it was read: a search index may lag
        behind what was written.

        Raises:
            HttpError: the server refuses a single id, or fails.
        """
        found = self._search(kind, "_id", ids, {}).ids
        missing = [one for one in ids if one not in found and self._reads.is_there(kind, one)]
        if missing and self._together > 1:
            alone = self._search(kind, "_id", missing[:1], {}).ids
            if alone:
                self._one_by_one(kind)
                alone |= self._search(kind, "_id", missing[1:], {}).ids
            missing = [one for one in missing if one not in alone]
        for one in missing:
            LOG.info("%s/%s: not found by a search, but can be read", kind, one)
            self._take_one(kind, self._reads.content(kind, one))

    def _one_by_one(self, kind: str) -> None:
        LOG.info("%s: of a list of values only one is honoured; one by one", kind)
        self._together = 1

    def _search(
        self, kind: str, parameter: str, values: list[str], params: Mapping[str, str]
    ) -> Named:
        named = Named()
        position = 0
        while position < len(values):
            batch = values[position : position + self._together]
            try:
                named.merge(self._take(kind, {parameter: ",".join(batch), **params}))
            except HttpError as error:
                if len(batch) == 1 or not refusals.request_unsupported(error):
                    raise
                LOG.info("%s: status %d for a list of values; one by one", kind, error.status)
                self._together = 1
                continue
            position += len(batch)
        return named


class SingleReads:
    """Reads single resources by their ids, each at most once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._read: dict[str, HttpError | bytes] = {}

    def is_there(self, kind: str, name: str) -> bool:
        """Whether a resource can be read.

        Raises:
            HttpError: the server fails.
        """
        content = self._answer(kind, name)
        if isinstance(content, HttpError):
            return False
        head = head_of(content)
        if head is None or head.resource_type != kind:
            raise SourceError(
                f"{self._client.base}/{kind}: the server returned {described(content)} instead of a"
                f" {kind}"
            )
        return True

    def content(self, kind: str, name: str) -> bytes:
        """The content of a resource that can be read."""
        answer = self._answer(kind, name)
        return answer if isinstance(answer, bytes) else b""

    def is_deleted(self, kind: str, name: str) -> bool:
        """Whether a resource existed and was deleted.

        Raises:
            HttpError: the server fails.
        """
        answer = self._answer(kind, name)
        return isinstance(answer, HttpError) and refusals.deleted(answer)

    def _answer(self, kind: str, name: str) -> HttpError | bytes:
        reference = f"{kind}/{name}"
        if reference not in self._read:
            try:
                response = self._client.request("GET", f"{self._client.base}/{reference}")
                self._read[reference] = response.content
            except HttpError as error:
                if not refusals.deleted(error) and not refusals.read_unsupported(error):
                    raise
                self._read[reference] = error
        return self._read[reference]


def fetch_medications(items: Mapping[str, Item], search: ListSearch) -> str:
    """Search the Medications that the therapies among the items refer to, by id.

    A Medication that is missing leaves its therapy unmapped, so every failure is an error but one:
    a server that does not have the type, or does not let us read it. Then why is returned, else an
    empty text.

    Raises:
        HttpError: the server fails, or refuses a single id.
    """
    named = {item.medication for item in items.values() if type(item) is Therapy}
    ids = sorted(ref.removeprefix("Medication/") for ref in named if ref and ref not in items)
    try:
        search.search_by_id(MEDICATION, ids)
    except HttpError as error:
        if not refusals.type_unavailable(error):
            raise
        LOG.warning("Medication: the server does not let us read it (%d)", error.status)
        return f"status {error.status} for the Medications to which therapies refer"
    return ""


def deleted_patients(reads: SingleReads, patients: Iterable[str]) -> frozenset[str]:
    """Of patients without a Patient resource, those whose resource was deleted."""
    gone = frozenset(one for one in sorted(patients) if reads.is_deleted("Patient", one))
    if gone:
        LOG.info("%d patients are deleted on the server and are left out", len(gone))
    return gone


def check_withheld(searcher: Searcher, kind: str, request: ReadRequest) -> None:
    """Check that a server does not withhold results without which nothing can be computed.

    Raises:
        SourceError: it withholds Patients, Procedures or Observations, and the request does not
            accept that.
    """
    words = searcher.outcomes.withheld.get(kind)
    if words is None or kind in optional_types() or kind == MEDICATION or request.accept_withheld:
        return
    raise SourceError(
        f"{kind}: the server withholds results: {words}; ask its team for permission to read them,"
        " or compute without them (--accept-withheld, setting accept_withheld)"
    )


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
