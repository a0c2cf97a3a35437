"""Reads a FHIR server onto a shelf: the cohort by its index procedures first, then the rest.

Requests grow with the cohort, not with the server: Procedures are searched by code, everything else
by patient, in batches. Where a server searches Procedures only by patient, a list of them leads.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from fhircryo.errors import SourceError, UsageError
from fhircryo.extract.context import Context
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.page_cache import KeptPages
from fhircryo.fhir.search import Params, Searcher
from fhircryo.fhir.wire import Meta, Resource
from fhircryo.mapping.concepts import GRADINGS, MEDICATED_TYPES, SCORE
from fhircryo.mapping.load import Mappings
from fhircryo.record.collector import RecordCollector, Unreadable
from fhircryo.record.items import PatientFacts, Therapy
from fhircryo.sources.reading import (
    Progress,
    Reading,
    Selection,
    grading_labels,
    links,
    present_types,
    read_lines,
)

LOG = logging.getLogger("fhircryo.source")

#: What a server that does not know a type, or keeps it from us, answers.
_NOT_THERE = frozenset({403, 404})
#: How a list of patients that the server itself keeps is named.
GROUP = "Group/"
#: What servers answer to a parameter, or a list of values, that they do not take.
_NOT_TAKEN = frozenset({400, 403, 404, 414, 422, 501})

_GONE = 410

_OBSERVATION_CONCEPTS = ("psa", "psa-not-convertible", "disease-status", *GRADINGS, SCORE)
_CODES_PER_REQUEST = 40
_PATIENTS_PER_REQUEST = 25


#: Types that a server may not have, or keep from us; without the others there is nothing to do.
OPTIONAL_TYPES = frozenset({"Condition", "AdverseEvent", "QuestionnaireResponse", *MEDICATED_TYPES})
_VERSION = msgspec.json.Decoder(Resource)


class _Member(msgspec.Struct):
    entity: dict[str, object] | None = None


class _Group(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    member: list[_Member] | None = None


def read_group(client: Client, group: str) -> frozenset[str]:
    """The patients of a ``Group/ID`` on the server.

    Raises:
        UsageError: it is not there, or no Group of patients.
    """
    try:
        content = client.request("GET", f"{client.base}/{group}").content
        read = msgspec.json.decode(content, type=_Group)
    except HttpError as error:
        raise UsageError(f"--patients {group}: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UsageError(f"--patients {group}: the server gives no Group there") from None
    found = set()
    for member in read.member or ():
        reference = str((member.entity or {}).get("reference", ""))
        kind, _, patient = reference.rpartition("/")
        if kind.endswith("Patient") and patient:
            found.add(patient)
    if read.resource_type != "Group" or not found:
        raise UsageError(f"--patients {group}: no Group with patients in it")
    return frozenset(found)


def observation_searches(mappings: Mappings) -> list[dict[str, str]]:
    """What Observations are searched by.

    Raises:
        UsageError: as ``code_searches``.
    """
    return code_searches(mappings, _OBSERVATION_CONCEPTS)


def code_searches(mappings: Mappings, concepts: Iterable[str]) -> list[dict[str, str]]:
    """The searches for concepts: by code, in lists that fit, and by each text of its own.

    Raises:
        UsageError: a code counts with its descendants, which no server can be asked for.
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
    # A comma would part the text in two.
    texts = [
        text.text.replace("\\", "\\\\").replace(",", "\\,")
        for name in names
        for text in mappings.texts_of(name)
    ]
    return [*({"code": codes} for codes in lists), *({"code:text": text} for text in texts)]


class ServerReader:
    """Reads one server for one run; ``kept``: pages of one that broke off."""

    def __init__(
        self,
        client: Client,
        context: Context,
        selection: Selection,
        progress: Progress | None = None,
        kept: KeptPages | None = None,
    ) -> None:
        self._client = client
        self._context = context
        self._selection = selection
        self._progress = progress
        self._searcher = Searcher(client, kept)
        self._shelf = RecordCollector(
            grading_labels(context),
            trace_patient=context.trace_patient,
            asked=selection.include or frozenset(),
        )
        self._searches: list[str] = []
        self._absent: set[str] = set()
        #: Procedures that were read by code already: id, version, last update.
        self._procedures: set[tuple[str | None, ...]] = set()
        self._together = _PATIENTS_PER_REQUEST

    def read(self) -> Reading:
        """Read the cohort.

        Raises:
            SourceError: the server refuses, cannot be reached, or does not give all it has.
        """
        try:
            known = capabilities(self._client)
            self._absent = {
                kind for kind in OPTIONAL_TYPES if known.types and kind not in known.types
            }
            if self._selection.include is None:
                self._procedures_by_code(known)
            else:
                self._shelf.patients |= self._selection.include
            wanted = self._persons(known)
            wanted -= self._deleted(wanted)
            self._shelf.wanted = wanted
            self._of_patients(sorted(wanted), known)
            self._medications()
            present = self._present()
            graded = self._graded()
        finally:
            self._searcher.close()
        self._shelf.links = links(self._shelf)
        self._shelf.overlays_met |= self._context.overlays_met
        LOG.info("%d requests for %d patients", self._client.requests_made, len(wanted))
        patients = self._selection.patients(self._shelf)
        return Reading(self._shelf, patients, self._place, present, graded)

    def _place(self, unreadable: Unreadable) -> str:
        return f"{self._searches[unreadable.part]}, match {unreadable.line}"

    def _take(self, kind: str, params: Params) -> None:
        """Search, and put every match on the shelf."""
        part = len(self._searches)
        self._searches.append(f"{kind} search {part + 1}")
        first = 1
        for found in self._searcher.search(kind, params):
            matches = found
            if kind == "Procedure":
                matches = [line for line in found if self._is_new(line)]
            read_lines(matches, self._shelf, self._context, part, first=first)
            first += len(found)

    def _is_new(self, line: bytes) -> bool:
        """Whether a Procedure was not read by code already, before it was found by patient."""
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

    def _procedures_by_code(self, known: Capabilities) -> None:
        advice = (
            "this server does not search Procedure by code; name the patients:"
            " --patients FILE or Group/ID"
        )
        if not known.searches("Procedure", "code"):
            raise SourceError(f"{self._client.base}: {advice}")
        for params in code_searches(self._context.mappings, ("cryoablation",)):
            try:
                self._take("Procedure", params)
            except HttpError as error:
                if error.status in _NOT_TAKEN - _NOT_THERE:
                    raise SourceError(f"{error}; {advice}") from None
                raise

    def _persons(self, known: Capabilities) -> frozenset[str]:
        """The candidates with all their ids: whom they replace and who replaces them."""
        asked: set[str] = set()
        while True:
            patients = self._selection.patients(self._shelf)
            wanted = patients.wanted(self._shelf.patients)
            new = sorted(wanted - asked)
            if not new:
                return wanted
            asked |= wanted
            self._shelf.wanted = wanted
            self._by_patients("Patient", new, "_id", {})
            if known.searches("Patient", "link"):
                self._by_patients("Patient", [f"Patient/{one}" for one in new], "link", {})

    def _deleted(self, wanted: frozenset[str]) -> frozenset[str]:
        """Of the candidates, those whose Patient was there and is deleted: as if they objected."""
        met = {item.patient for item in self._shelf.kept.values() if type(item) is PatientFacts}
        gone = deleted_patients(self._client, wanted - met)
        if gone:
            chosen = self._selection
            self._selection = replace(chosen, exclude=chosen.exclude | gone)
        return gone

    def _of_patients(self, patients: list[str], known: Capabilities) -> None:
        """Everything that is read of the patients, type after type."""
        searches: list[tuple[str, str, dict[str, str]]] = [
            ("Observation", "patient", params)
            for params in code_searches(self._context.mappings, _OBSERVATION_CONCEPTS)
        ]
        searches += [
            ("Procedure", "patient", {}),
            ("Condition", "patient", {}),
            ("AdverseEvent", "subject", {}),
            ("QuestionnaireResponse", "patient", {}),
            *((kind, "patient", {}) for kind in sorted(MEDICATED_TYPES)),
        ]
        for done, (kind, parameter, params) in enumerate(searches, 1):
            if kind in self._absent:
                continue
            if not known.searches(kind, parameter):
                parameter = "subject" if parameter == "patient" else "patient"
            values = patients
            if parameter == "subject":
                values = [f"Patient/{one}" for one in patients]
            try:
                self._by_patients(kind, values, parameter, params)
            except HttpError as error:
                if error.status not in _NOT_THERE or kind not in OPTIONAL_TYPES:
                    raise
                LOG.warning("%s: the server keeps it from us (%d)", kind, error.status)
                self._absent.add(kind)
            if self._progress is not None:
                self._progress(done, len(searches))

    def _medications(self) -> None:
        """The Medications that the patients' therapies name, by their ids."""
        named = {item.medication for item in self._shelf.kept.values() if type(item) is Therapy}
        ids = sorted(ref.removeprefix("Medication/") for ref in named if ref)
        try:
            self._by_patients("Medication", ids, "_id", {})
        except HttpError as error:
            if error.status not in _NOT_THERE:
                raise
            LOG.warning("Medication: the server keeps it from us (%d)", error.status)

    def _by_patients(
        self, kind: str, values: list[str], parameter: str, params: dict[str, str]
    ) -> None:
        """Search for patients in batches; one by one on servers that take no lists."""
        position = 0
        while position < len(values):
            batch = values[position : position + self._together]
            try:
                self._take(kind, {parameter: ",".join(batch), **params})
            except HttpError as error:
                if len(batch) == 1 or error.status not in _NOT_TAKEN:
                    raise
                LOG.info("%s: %d for a list of patients; one by one", kind, error.status)
                self._together = 1
                continue
            position += len(batch)

    def _present(self) -> frozenset[str]:
        """The types that the server holds; asked for where none was met."""
        return types_held(self._searcher, present_types(self._shelf), frozenset(self._absent))

    def _graded(self) -> frozenset[str]:
        """The scales of which there are Observations that grade; asked for where none was met."""
        return graded_scales(self._searcher, self._context.mappings, frozenset(self._shelf.graded))


def deleted_patients(client: Client, patients: Iterable[str]) -> frozenset[str]:
    """Of patients without a Patient resource, those who had one that was deleted."""
    gone = set()
    for patient in sorted(patients):
        try:
            client.request("GET", f"{client.base}/Patient/{patient}")
        except HttpError as error:
            if error.status == _GONE:
                gone.add(patient)
            elif error.status not in _NOT_TAKEN:
                raise
    if gone:
        LOG.info("%d patients are deleted on the server, and left out", len(gone))
    return frozenset(gone)


def types_held(searcher: Searcher, met: frozenset[str], absent: frozenset[str]) -> frozenset[str]:
    """The types that a server holds: those that were ``met``, and what it is asked for besides."""
    found = set(met)
    for kinds in (("AdverseEvent",), ("Condition",), sorted(MEDICATED_TYPES)):
        if found.isdisjoint(kinds):
            asked = (kind for kind in kinds if kind not in absent)
            found.update(next(((kind,) for kind in asked if _any(searcher, kind, {})), ()))
    return frozenset(found - absent)


def graded_scales(searcher: Searcher, mappings: Mappings, met: frozenset[str]) -> frozenset[str]:
    """The scales of which a server holds Observations that grade, likewise."""
    found = set(met)
    for concept, scale in GRADINGS.items():
        if not scale or scale in found:
            continue
        if any(_any(searcher, "Observation", one) for one in code_searches(mappings, (concept,))):
            found.add(scale)
    return frozenset(found)


def _any(searcher: Searcher, kind: str, params: dict[str, str]) -> bool:
    """Whether there is a resource at all that a search finds."""
    try:
        return searcher.any(kind, params)
    except HttpError as error:
        if error.status in _NOT_TAKEN:
            return False
        raise
