"""A FHIR server read by searches as a source.

Requests grow with the cohort, not with the server: Procedures are searched by code, everything else
by patient, in batches. Where a server searches Procedures only by patient, the run starts from a
list of patients.
"""

import logging
from dataclasses import replace

import msgspec

from fhircryo.errors import SourceError
from fhircryo.extract.lines import read
from fhircryo.fhir import refusals
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.page_cache import KeptPages
from fhircryo.fhir.search import Params, Searcher
from fhircryo.fhir.wire import Meta, Resource
from fhircryo.record.collector import RecordCollector, Unreadable
from fhircryo.record.items import PatientFacts
from fhircryo.record.patients import Patients
from fhircryo.sources.code_searches import (
    code_searches,
    component_search,
    observation_searches,
    warn_without_components,
)
from fhircryo.sources.resource_types import (
    INDEX_CONCEPTS,
    MEDICATION,
    RESOURCE_TYPES,
    ResourceType,
    optional_types,
)
from fhircryo.sources.server_lookups import (
    ListSearch,
    Named,
    SingleReads,
    check_withheld,
    deleted_patients,
    fetch_medications,
    graded_scales,
    types_held,
)
from fhircryo.sources.source import Collected, ReadRequest, current_links, present_types

LOG = logging.getLogger("fhircryo.source")

_VERSION = msgspec.json.Decoder(Resource)
_NAME_THE_PATIENTS = (
    "this server does not search Procedure by code; name the patients: --patients FILE or Group/ID"
)


class SearchSource:
    """An open server; ``pages``: the cache of an interrupted run's pages, where there is one."""

    def __init__(self, client: Client, pages: KeptPages | None = None) -> None:
        self.name = client.base
        self.server: str | None = client.base
        self._client = client
        self._pages = pages

    def collect(self, request: ReadRequest) -> Collected:
        """Read the cohort, or the selected patients."""
        searcher = Searcher(self._client, self._pages)
        try:
            return _CohortReader(self._client, searcher, request).read()
        finally:
            searcher.close()


class _CohortReader:
    """Reads one server for one request."""

    def __init__(self, client: Client, searcher: Searcher, request: ReadRequest) -> None:
        self._client = client
        self._searcher = searcher
        self._request = request
        self._selection = request.selection
        self._context = request.context(client.base)
        self._collector = RecordCollector(request.retention())
        self._searches: list[str] = []
        self._unavailable: set[str] = set()
        self._withheld: dict[str, str] = {}
        #: Procedures that a search by code has found already: id, version, last update.
        self._procedures: set[tuple[str | None, ...]] = set()
        self._reads = SingleReads(client)
        self._lists = ListSearch(self._take, self._take_one, self._reads)

    def read(self) -> Collected:
        can = capabilities(self._client)
        if can.types:
            self._unavailable = {kind for kind in optional_types() if kind not in can.types}
        facts = self._collector.facts
        if self._selection.include is None:
            self._procedures_by_code(can)
        else:
            facts.candidates |= self._selection.include
        wanted = self._persons(can)
        wanted -= self._leave_out_deleted(wanted)
        self._retain(wanted)
        self._by_patient(sorted(wanted), can)
        refused = fetch_medications(self._collector.items, self._lists)
        if refused:
            self._withheld[MEDICATION] = refused
        unavailable = frozenset(self._unavailable)
        present = types_held(self._searcher, present_types(facts), unavailable)
        mappings = self._request.mappings
        graded = graded_scales(self._searcher, mappings, frozenset(facts.graded))
        self._collector.note_unmapped_primaries()
        facts.links = current_links(self._collector.items)
        LOG.info("%d requests for %d patients", self._client.requests_made, len(wanted))
        return Collected(
            items=self._collector.items,
            facts=facts,
            patients=Patients(facts.links, self._selection),
            place=self._place,
            present=present,
            graded=graded,
            withheld=self._withheld | self._searcher.outcomes.withheld,
        )

    def _place(self, unreadable: Unreadable) -> str:
        return f"{self._searches[unreadable.part]}, match {unreadable.line}"

    def _retain(self, wanted: frozenset[str]) -> None:
        self._collector.retention = replace(self._collector.retention, wanted=wanted)

    def _take(self, kind: str, params: Params) -> Named:
        """Search, collect the items of every match, and return what the matches name."""
        named = Named()
        part = len(self._searches)
        self._searches.append(f"{kind} search {part + 1}")
        first = 1
        for found in self._searcher.search(kind, params):
            matches = found
            if kind == "Procedure":
                matches = [line for line in found if self._is_new(line)]
            read(matches, self._collector, self._context, part, first=first)
            first += len(found)
            named.add(found)
        check_withheld(self._searcher, kind, self._request)
        return named

    def _take_one(self, kind: str, content: bytes) -> None:
        """Collect the items of a resource that was read by its id."""
        part = len(self._searches)
        self._searches.append(f"{kind} read by id")
        read([content], self._collector, self._context, part)

    def _is_new(self, line: bytes) -> bool:
        """Whether a Procedure has not been found by code already, before it is found by patient."""
        try:
            found = _VERSION.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return True
        meta = found.meta or Meta()
        version = (found.id, meta.version_id, meta.last_updated)
        if version in self._procedures:
            return False
        self._procedures.add(version)
        return True

    def _procedures_by_code(self, can: Capabilities) -> None:
        if not can.searches("Procedure", "code"):
            raise SourceError(f"{self._client.base}: {_NAME_THE_PATIENTS}")
        for params in code_searches(self._request.mappings, INDEX_CONCEPTS):
            try:
                self._take("Procedure", params)
            except HttpError as error:
                if refusals.parameter_unsupported(error):
                    raise SourceError(f"{error}; {_NAME_THE_PATIENTS}") from None
                raise

    def _persons(self, can: Capabilities) -> frozenset[str]:
        """The candidates with all their ids: whom they replace, and who replaces them."""
        asked: set[str] = set()
        facts = self._collector.facts
        while True:
            wanted = Patients(facts.links, self._selection).wanted(facts.candidates)
            new = sorted(wanted - asked)
            if not new:
                return wanted
            asked |= wanted
            self._retain(wanted)
            self._lists.search_by_id("Patient", new)
            if can.searches("Patient", "link"):
                self._lists.search("Patient", "link", [f"Patient/{one}" for one in new], {})

    def _leave_out_deleted(self, wanted: frozenset[str]) -> frozenset[str]:
        """The candidates whose Patient was deleted; they are treated as if they had objected."""
        found = {
            item.patient for item in self._collector.items.values() if type(item) is PatientFacts
        }
        deleted = deleted_patients(self._reads, wanted - found)
        if deleted:
            exclude = self._selection.exclude | deleted
            self._selection = replace(self._selection, exclude=exclude)
        return deleted

    def _by_patient(self, patients: list[str], can: Capabilities) -> None:
        """Everything that is read of the patients, type after type."""
        searches = [
            (kind, params)
            for kind in RESOURCE_TYPES
            if kind.by_patient
            for params in self._further_params(kind, patients, can)
        ]
        for done, (kind, params) in enumerate(searches, 1):
            if kind.name not in self._unavailable:
                self._of_type(kind, patients, params, can)
            if self._request.progress is not None:
                self._request.progress(done, len(searches))

    def _further_params(
        self, kind: ResourceType, patients: list[str], can: Capabilities
    ) -> list[dict[str, str]]:
        """The parameters beside the patient; of the types with concepts all are Observations."""
        if not kind.concepts or not patients:
            return [{}]
        parameter, values = by_patient_parameter(kind, patients, can)
        mappings = self._request.mappings
        how = component_search(can, self._searcher, mappings, {parameter: values[0]})
        warn_without_components(how)
        return observation_searches(mappings, how, kind.concepts)

    def _of_type(
        self, kind: ResourceType, patients: list[str], params: dict[str, str], can: Capabilities
    ) -> None:
        parameter, values = by_patient_parameter(kind, patients, can)
        try:
            self._lists.search_by_patient(kind.name, parameter, values, params)
        except HttpError as error:
            if not kind.optional or not refusals.type_unavailable(error):
                raise
            LOG.warning("%s: the server does not let us read it (%d)", kind.name, error.status)
            self._unavailable.add(kind.name)


def by_patient_parameter(
    kind: ResourceType, patients: list[str], can: Capabilities
) -> tuple[str, list[str]]:
    """The search parameter by which a type is searched for patients, and its values."""
    preferred, other = kind.patient_parameters
    parameter = preferred if can.searches(kind.name, preferred) else other
    values = [f"Patient/{one}" for one in patients] if parameter == "subject" else patients
    return parameter, values
