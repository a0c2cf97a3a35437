"""Publishes patients: computes their endpoints from their records and makes the resources."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from fhircryo.endpoints.patient_endpoints import PatientEndpoints, compute
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.folder_output import FolderOutput, FolderOutputMaker
from fhircryo.publish.observation_maker import ObservationMaker, references
from fhircryo.publish.origin import Origin
from fhircryo.publish.patient_output import PatientOutput, identifier_of
from fhircryo.publish.provenance import provenance
from fhircryo.record.collector import Counted, add_counts, type_of
from fhircryo.record.items import Issue, Item, Lacking, NotUsed, PatientRecord, Reason, Therapy

_K = TypeVar("_K")
#: The form in which a patient's endpoints are published.
_Output = TypeVar("_Output")
#: Makes what is published of a patient.
OutputMaker = Callable[[PatientRecord, PatientEndpoints], _Output]


@dataclass(frozen=True)
class PublishContext:
    """What published endpoints depend on besides the records.

    ``origin``: the cut-off date among others. ``subject_system``: the system of the patient
    identifiers by which a target may match patients; empty where it does not.
    """

    mappings: Mappings
    protocol: Protocol
    origin: Origin
    subject_system: str = ""


class PublishCounts(msgspec.Struct):
    """How many resources were published of some patients, and used or not used.

    ``cohort``: patients with an index procedure. ``not_used``, ``notes``: resources that were not
    used, or used with a remark, by reason. ``counted``: resources that are not listed one by one,
    because their patient has no index procedure by the cut-off date.
    """

    cohort: int = 0
    observations: int = 0
    provenances: int = 0
    used: int = 0
    not_used: dict[str, int] = {}
    notes: dict[str, int] = {}
    counted: dict[Counted, int] = {}

    def add(self, more: "PublishCounts") -> None:
        """Add the counts of other patients."""
        self.cohort += more.cohort
        self.observations += more.observations
        self.provenances += more.provenances
        self.used += more.used
        add_counts(self.not_used, more.not_used)
        add_counts(self.notes, more.notes)
        add_counts(self.counted, more.counted)


class PatientPiece(msgspec.Struct, Generic[_Output]):
    """What is published of one patient.

    ``output``: None for a candidate who has no index procedure by the cut-off date. ``issues``: the
    resources that were not used, or used with a remark.
    """

    patient: str
    output: _Output | None
    issues: list[Issue]
    counts: PublishCounts


def publish_patients(
    records: Iterable[PatientRecord],
    lacking: Lacking,
    older: Mapping[str, list[Issue]],
    context: PublishContext,
    make_output: OutputMaker[_Output],
) -> Iterator[PatientPiece[_Output]]:
    """Compute the endpoints of patients; the pieces are in the order of the patients' ids.

    ``lacking``: what the whole source does not hold. ``older``: the issues of older versions of
    resources, by patient. ``make_output``: one of :func:`folder_outputs` and
    :func:`server_outputs`.
    """
    origin, scales = context.origin, context.mappings.scales
    for record in sorted(records, key=lambda record: record.patient):
        computed = compute(record, context.protocol, origin.as_of, lacking, scales)
        versions = older.get(record.patient, [])
        if computed is None:
            yield _outside_cohort(record, versions)
        else:
            yield _in_cohort(record, computed, make_output(record, computed), versions)


def folder_outputs(context: PublishContext) -> OutputMaker[FolderOutput]:
    """What is published in a folder: lines."""
    maker = FolderOutputMaker(_observation_maker(context), context.origin)

    def make(record: PatientRecord, computed: PatientEndpoints) -> FolderOutput:
        return maker.make(
            computed.results,
            f"Patient/{record.patient}",
            computed.line.index.ref,
            subject_identifier(record),
            [treatment.ref for treatment in computed.line.treatment],
        )

    return make


def server_outputs(context: PublishContext) -> OutputMaker[PatientOutput]:
    """What is published on a server: resources, in the form of a folder at first."""
    maker = _observation_maker(context)

    def make(record: PatientRecord, computed: PatientEndpoints) -> PatientOutput:
        observations = maker.make(
            computed.results,
            f"Patient/{record.patient}",
            computed.line.index.ref,
            subject_identifier(record),
        )
        entities = [treatment.ref for treatment in computed.line.treatment]
        for result in computed.results:
            entities += references(result)
        return PatientOutput(
            record.patient,
            observations,
            provenance(map(identifier_of, observations), entities, context.origin),
        )

    return make


def _observation_maker(context: PublishContext) -> ObservationMaker:
    return ObservationMaker(
        context.mappings, context.protocol, context.origin, context.subject_system
    )


def _in_cohort(
    record: PatientRecord,
    computed: PatientEndpoints,
    output: _Output,
    versions: list[Issue],
) -> PatientPiece[_Output]:
    issues = sorted(computed.line.issues)
    counts = PublishCounts(cohort=1, observations=len(computed.results), provenances=1)
    for issue in issues:
        _count(counts.notes if issue.used else counts.not_used, issue.reason)
    # Older versions are not items of the record, so they are not subtracted from its items.
    counts.used = sum(1 for _ in record.items()) - sum(counts.not_used.values())
    for issue in versions:
        _count(counts.not_used, issue.reason)
    return PatientPiece(record.patient, output, issues + versions, counts)


def _outside_cohort(record: PatientRecord, versions: list[Issue]) -> PatientPiece[_Output]:
    """The piece of a candidate whose treatments are all after the cut-off date.

    The treatments are listed as issues. All other resources are only counted.
    """
    issues = []
    counts = PublishCounts()
    for item in record.items():
        reason = reason_outside_cohort(item)
        if reason is Reason.NOT_IN_COHORT:
            _count(counts.counted, (reason, type_of(item.ref), item.code))
            continue
        _count(counts.not_used, reason)
        issues.append(Issue(item.ref, reason))
    for version in versions:
        _count(counts.counted, (Reason.SUPERSEDED, type_of(version.ref), ""))
    return PatientPiece(record.patient, None, sorted(issues), counts)


def reason_outside_cohort(item: Item) -> Reason:
    """Why a resource is not used of a candidate whose treatments are all after the cut-off date."""
    if type_of(item.ref) != "Procedure" or type(item) is Therapy:
        return Reason.NOT_IN_COHORT
    return item.reason if isinstance(item, NotUsed) else Reason.AFTER_AS_OF


def subject_identifier(record: PatientRecord) -> str:
    """The identifier of the patient on other servers; empty if there is none or more than one."""
    everyone = [record.facts, *record.former]
    current = [facts for facts in everyone if facts is not None and facts.patient == record.patient]
    return current[0].identifier if current else ""


def _count(counts: dict[_K, int], key: _K) -> None:
    counts[key] = counts.get(key, 0) + 1
