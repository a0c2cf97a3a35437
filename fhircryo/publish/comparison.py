"""Compares the endpoints of a run with those that a target holds."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from fhircryo.interrupts import stoppable
from fhircryo.publish.as_on_server import References, as_on_server
from fhircryo.publish.difference import (
    Difference,
    PatientChanges,
    changes_of,
    note_missing_provenance,
)
from fhircryo.publish.known_ids import OwedProvenance
from fhircryo.publish.matching import Matched, match_patients
from fhircryo.publish.missing_provenance import missing_provenances
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.published_endpoint import RETRACTED, PublishedByIdentifier
from fhircryo.publish.reading_back import PublishedReader
from fhircryo.publish.renamed_source import renamed
from fhircryo.publish.shapes import OutReference
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_kind import TargetKind


@dataclass(frozen=True)
class RetractionScope:
    """The patients whose endpoints a run retracts where it did not compute them any more.

    ``patients``: their ids in the source (None: all patients). ``known_as``: their identifiers, by
    which the target may match them. ``identifiers``: the identifiers of all endpoints that were
    published of them, where these are known (None: all endpoints of the target are read).
    ``count_published``: returns how many patients have endpoints on the target, where that is known
    without reading all of them.
    """

    patients: frozenset[str] | None = None
    known_as: Mapping[str, str] = field(default_factory=dict)
    identifiers: frozenset[str] | None = None
    count_published: Callable[[], int] | None = None


@dataclass(frozen=True)
class Comparison:
    """Compares with one target.

    ``kind``: of the target; None where the Provenances that it lacks are not looked at.
    ``subject_system``: the system of the identifiers by which patients are matched.
    """

    connection: TargetConnection
    kind: TargetKind | None
    references: References
    subject_system: str

    @stoppable()
    def difference(
        self,
        patients: list[PatientOutput],
        scope: RetractionScope,
        device: OutReference | None,
        *,
        profiles: bool,
    ) -> Difference:
        """What has to be written so that the target holds the computed endpoints.

        ``device``: the reference to our Device there. ``profiles``: whether profiles are stated.
        """
        matched = self._match(patients, scope)
        published = self._published(patients, scope)
        owed = self._owed(patients, scope, published)
        own = _own_identifiers(published, scope.identifiers or frozenset())
        base, sent = self.connection.base, self.connection.known.content_sent
        computed = {name for output in patients for name in output.identifiers()}
        found: list[PatientChanges] = []
        done: set[str] = set()
        for output in patients:
            problem = matched.problems.get(output.patient)
            if problem:
                found.append(PatientChanges(output.patient, None, [], problem=problem))
                # The endpoints of a patient who is only not recognised any more are retained.
                done |= _subjects(output, published)
                continue
            subject = self._id_on_target(output.patient, matched)
            done.add(subject)
            there = as_on_server(output, self.references, subject, device, profiles=profiles)
            outdated = set(own.get(subject, ())).difference(there.identifiers())
            changes = changes_of(output.patient, there, outdated, published, base, sent)
            note_missing_provenance(changes, published, owed)
            if not (changes.changes or changes.lacking):
                changes.output = None  # frees memory: there is nothing to write
            found.append(changes)
        for subject in sorted(own.keys() - done):
            # What was computed is not retracted, whatever subject the target states by now: its
            # patients may have been merged, or it resolves references in its own way.
            outdated = own[subject] - computed
            if outdated and self._is_in_scope(subject, scope, matched):
                name = self._name(subject)
                gone = changes_of(name, None, outdated, published, base)
                note_missing_provenance(gone, published, owed)
                found.append(gone)
        return Difference(
            found,
            scope.count_published or (lambda: _count_active(published)),
            _count_of_unknown_source(published, computed | (scope.identifiers or frozenset())),
            renamed(
                ((self._id_on_target(output.patient, matched), output) for output in patients),
                published,
            ),
        )

    def _published(
        self, patients: list[PatientOutput], scope: RetractionScope
    ) -> PublishedByIdentifier:
        """The endpoints that the target holds; only those of the scope, where these are known."""
        reader = PublishedReader(self.connection)
        identifiers = _identifiers(patients, scope)
        return reader.all() if identifiers is None else reader.with_identifiers(identifiers)

    def _owed(
        self,
        patients: list[PatientOutput],
        scope: RetractionScope,
        published: PublishedByIdentifier,
    ) -> dict[str, OwedProvenance]:
        """The endpoints that stand on the target and lack their Provenance."""
        if self.kind is None:
            return {}
        identifiers = _identifiers(patients, scope)
        return missing_provenances(self.connection, self.kind, published, identifiers)

    def _match(self, patients: list[PatientOutput], scope: RetractionScope) -> Matched:
        if self.references.subject != "match":
            return Matched()
        known_as = dict(scope.known_as)
        for output in patients:
            identifier = output.observations[0].subject.identifier
            known_as[output.patient] = identifier.value if identifier is not None else ""
        return match_patients(self.connection.searcher, self.subject_system, known_as)

    def _id_on_target(self, patient: str, matched: Matched) -> str:
        return matched.ids.get(patient, "") if self.references.subject == "match" else patient

    def _name(self, subject: str) -> str:
        """The name in reports of a patient who was not computed, given the id on the target.

        The id of a matched patient in the source is not known.
        """
        return f"{subject} of the target" if self.references.subject == "match" else subject

    def _is_in_scope(self, subject: str, scope: RetractionScope, matched: Matched) -> bool:
        if scope.patients is None:
            return True
        if self.references.subject == "match":
            return subject in {matched.ids.get(patient) for patient in scope.patients}
        return subject in scope.patients


def _identifiers(patients: list[PatientOutput], scope: RetractionScope) -> set[str] | None:
    """The identifiers that are looked at; None: all of the target."""
    if scope.identifiers is None:
        return None
    return set(scope.identifiers).union(*(output.identifiers() for output in patients))


def _own_identifiers(published: PublishedByIdentifier, known: Set[str]) -> dict[str, set[str]]:
    """The identifiers of the endpoints of the run's source and protocol, by their subject.

    ``known``: those of which the run knows that its source published them.
    """
    found: dict[str, set[str]] = {}
    for endpoints in published.values():
        for endpoint in endpoints:
            if endpoint.ours or (endpoint.of_unknown_source and endpoint.identifier in known):
                found.setdefault(endpoint.patient, set()).add(endpoint.identifier)
    return found


def _subjects(output: PatientOutput, published: PublishedByIdentifier) -> set[str]:
    """The subjects of the endpoints that the target holds of a patient."""
    return {
        endpoint.patient
        for identifier in output.identifiers()
        for endpoint in published.get(identifier, ())
    }


def _count_of_unknown_source(published: PublishedByIdentifier, known: Set[str]) -> int:
    """How many endpoints, besides those that are known, may be of this or of another source."""
    return sum(
        endpoint.of_unknown_source and endpoint.status != RETRACTED
        for identifier, endpoints in published.items()
        if identifier not in known
        for endpoint in endpoints
    )


def _count_active(published: PublishedByIdentifier) -> int:
    """How many patients have endpoints of the run's source and protocol that are not retracted."""
    return len(
        {
            endpoint.patient
            for endpoints in published.values()
            for endpoint in endpoints
            if endpoint.ours and endpoint.status != RETRACTED
        }
    )
