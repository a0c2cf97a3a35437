"""Tries each kind of search that a run makes, by one request: a statement only promises it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.search import Searcher
from fhircryo.mapping.load import Mappings
from fhircryo.setup.doctor.check import FORBIDDEN, CheckResult, failed, not_tried, ok, warning
from fhircryo.sources.code_searches import WITHOUT_COMPONENTS, code_searches
from fhircryo.sources.resource_types import (
    INDEX_CONCEPTS,
    MEDICATION,
    RESOURCE_TYPES,
    optional_types,
    resource_type,
)
from fhircryo.sources.search_source import by_patient_parameter

_PART = "source"


class RequiredSearch(NamedTuple):
    """A search that a run makes.

    ``parameters``: any one of them is enough. ``without``: what happens where none is supported.
    ``required``: nothing can be computed without the search.
    """

    kind: str
    parameters: tuple[str, ...]
    without: str
    required: bool = False

    @property
    def name(self) -> str:
        """The name of the check."""
        return f"{self.kind}?{'|'.join(self.parameters)}"


REQUIRED_SEARCHES = (
    RequiredSearch("Procedure", ("code",), "name the patients: --patients FILE or Group/ID"),
    RequiredSearch("Patient", ("_id",), "patients cannot be read", required=True),
    RequiredSearch("Patient", ("link",), "merged patients are not recognised"),
    RequiredSearch("Observation", ("code",), "PSA results cannot be read", required=True),
    RequiredSearch("Observation", ("combo-code", "component-code"), WITHOUT_COMPONENTS),
    *(
        RequiredSearch(kind.name, kind.patient_parameters, kind.without, required=not kind.optional)
        for kind in RESOURCE_TYPES
        if kind.by_patient
    ),
    RequiredSearch(MEDICATION, ("_id",), "therapies that refer to a Medication are not read"),
)


class _Subject(msgspec.Struct):
    reference: str | None = None


class _Sampled(msgspec.Struct):
    id: str | None = None
    subject: _Subject | None = None


class SearchTrials:
    """Tries searches on one server, for one of its patients."""

    def __init__(self, searcher: Searcher, known: Capabilities, mappings: Mappings) -> None:
        self._searcher = searcher
        self._known = known
        self._mappings = mappings
        #: Why there is no resource to search for, by type.
        self._why: dict[str, str] = {}

    def results(self) -> Iterator[CheckResult]:
        """Try each search that a run makes."""
        patient = self._any_patient()
        medication = self._sample(MEDICATION, {}).id
        for needed in REQUIRED_SEARCHES:
            listed = [one for one in needed.parameters if self._known.searches(needed.kind, one)]
            if not listed:
                yield _unsupported(needed, "its CapabilityStatement does not list it")
                continue
            params = self._params(needed, listed[0], patient, medication)
            if params is None:
                sampled = MEDICATION if needed.kind == MEDICATION else "Patient"
                words = f"its CapabilityStatement lists it; to try it, a {sampled} is needed"
                yield not_tried(_PART, needed.name, f"{words}: {self._why.get(sampled, '')}")
            else:
                yield self._tried(needed, params)

    def _any_patient(self) -> str | None:
        """The id of a patient with an index procedure, else of any patient, if there is one."""
        for codes in code_searches(self._mappings, INDEX_CONCEPTS):
            subject = self._sample("Procedure", codes).subject
            if subject is not None and subject.reference:
                return subject.reference.partition("/_history/")[0].rpartition("/")[2]
        return self._sample("Patient", {}).id

    def _sample(self, kind: str, params: Mapping[str, str]) -> _Sampled:
        """Any match of a search; one without an id if there is none."""
        try:
            lines = self._searcher.sample(kind, {**params, "_count": "1"}, 1).lines
            if lines:
                return msgspec.json.decode(lines[0], type=_Sampled)
            self._why[kind] = "the server returns none"
        except SourceError as error:
            self._why[kind] = str(error)
        except msgspec.MsgspecError:
            self._why[kind] = "it cannot be read"
        return _Sampled()

    def _params(
        self, needed: RequiredSearch, parameter: str, patient: str | None, medication: str | None
    ) -> dict[str, str] | None:
        """The parameters with which a run would search; None if there is nothing to name."""
        if needed.kind == MEDICATION:
            return {parameter: medication} if medication is not None else None
        if needed.kind == "Procedure" and parameter == "code":
            return code_searches(self._mappings, INDEX_CONCEPTS)[0]
        if patient is None:
            return None
        if needed.kind == "Patient":
            return {parameter: patient if parameter == "_id" else f"Patient/{patient}"}
        kind = resource_type(needed.kind)
        name, (value,) = by_patient_parameter(kind, [patient], self._known)
        if needed.parameters != kind.patient_parameters:
            return {name: value, **code_searches(self._mappings, ("psa",), parameter)[0]}
        # A run searches types with many kinds of content by patient and code.
        codes = code_searches(self._mappings, ("psa",))[0] if kind.concepts else {}
        return {name: value, **codes}

    def _tried(self, needed: RequiredSearch, params: dict[str, str]) -> CheckResult:
        try:
            self._searcher.any(needed.kind, params)
        except HttpError as error:
            if error.status in FORBIDDEN and needed.kind not in optional_types():
                advice = "check the credentials, scopes and rights"
                return failed(_PART, needed.name, str(error), advice)
            return warning(_PART, needed.name, str(error), needed.without)
        except SourceError as error:
            return failed(_PART, needed.name, str(error), "a run would end with this error")
        return ok(_PART, needed.name, f"answered a search by {' and '.join(params)}")


def _unsupported(needed: RequiredSearch, words: str) -> CheckResult:
    if needed.required:
        return failed(_PART, needed.name, f"cannot be searched: {words}", needed.without)
    return warning(_PART, needed.name, f"cannot be searched: {words}", needed.without)
