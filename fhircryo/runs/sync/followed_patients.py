"""The patients whom sync runs follow, and which of them a changed resource affects."""

from collections.abc import Iterator

import msgspec

from fhircryo.errors import UnreadableResource
from fhircryo.extract.context import Context
from fhircryo.extract.extractor import extract
from fhircryo.fhir.decode import decode
from fhircryo.fhir.wire import Reference
from fhircryo.record.items import Dropped, Item, PatientFacts, Treatment
from fhircryo.runs.sync.state_database import State


class _SubjectOnly(msgspec.Struct):
    subject: Reference | None = None


class FollowedPatients:
    """The patients in the state, and the patients that the settings list.

    ``listed``: ids of the patients that the settings list; empty if all candidates are followed.
    """

    def __init__(self, context: Context, state: State, listed: frozenset[str]) -> None:
        self._context = context
        self._state = state
        self._listed = listed

    def affected_by(self, line: bytes) -> Iterator[str]:
        """The ids of patients whose endpoints the present version of a resource may affect.

        Includes patients who become candidates by this resource. Patients who depend on an
        earlier version are found by the reference of the resource, in the state.
        """
        try:
            kind, resource = decode(line)
            item: Item | None = None
            if resource is not None:
                item = extract(kind, resource, self._context)
        except (UnreadableResource, UnicodeDecodeError):
            # The patient's full record is read again, and the error is reported there.
            patient = self._subject_of(line)
            if self._includes(patient):
                yield patient
            return
        # A resource that is not used now affects only patients who depend on an earlier version.
        if item is None or isinstance(item, Dropped):
            return
        if isinstance(item, Treatment) or self._includes(item.patient):
            yield item.patient
        if isinstance(item, PatientFacts) and self._includes(item.replaced_by):
            yield item.patient
            yield item.replaced_by

    def _includes(self, patient: str) -> bool:
        return patient in self._listed or self._state.current_id(patient) is not None

    def _subject_of(self, line: bytes) -> str:
        """The patient id of a resource that cannot be decoded completely; empty if unknown."""
        try:
            return self._context.patient(msgspec.json.decode(line, type=_SubjectOnly).subject)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""
