"""The way through the house for one patient: record, endpoints, published resources."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from fhircryo.endpoints.catalogue import MAJOR_CLAVIEN, MAJOR_SIR
from fhircryo.endpoints.patient_endpoints import PatientEndpoints, compute
from fhircryo.errors import UsageError
from fhircryo.mapping.load import Mappings, load_mappings, load_protocol
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.observation_maker import ObservationMaker, references
from fhircryo.publish.origin import Origin
from fhircryo.publish.provenance import provenance
from fhircryo.publish.shapes import ENCODER
from fhircryo.record.collector import Counted, type_of
from fhircryo.record.items import Issue, Lacking, NotUsed, PatientRecord, Reason, Therapy
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.settings import Settings
from fhircryo.sources.resource_types import complete_types_allowed
from fhircryo.sources.source import Driver, Progress, ReadRequest


@dataclass(frozen=True)
class RunConfig:
    """What a run computes with; a run is a pure function of it and the resources."""

    mappings: Mappings
    protocol: Protocol
    as_of: date
    settings: Settings
    selection: Selection = ALL_PATIENTS

    @classmethod
    def of(
        cls, settings: Settings, as_of: date, selection: Selection = ALL_PATIENTS
    ) -> "RunConfig":
        """The job that the settings describe.

        Raises:
            UsageError: a mapping or protocol is wrong.
        """
        return cls(
            mappings=load_mappings(settings.mappings, settings.base),
            protocol=load_protocol(settings.protocol),
            as_of=as_of,
            settings=settings,
            selection=selection,
        )

    def __post_init__(self) -> None:
        self._check_complete_types()
        object.__setattr__(self, "protocol", self._as_the_site_has_it())
        for endpoint in (MAJOR_CLAVIEN, MAJOR_SIR):
            if endpoint.scale not in self.protocol.complications.major:
                raise UsageError(
                    f"protocol {self.protocol.id}: complications.major.{endpoint.scale}: this key"
                    " is required"
                )
        for name, grade in self.protocol.complications.major.items():
            scale = self.mappings.scales.get(name)
            if scale is None or grade not in scale.order:
                raise UsageError(
                    f"protocol {self.protocol.id}: complications.major.{name}: {grade}:"
                    " no such scale and grade in the mappings"
                )

    def _check_complete_types(self) -> None:
        allowed = complete_types_allowed()
        for name in self.settings.complete_types:
            if name not in allowed:
                raise UsageError(
                    f"setting complete_types: {name}: not one of {', '.join(sorted(allowed))}"
                )

    def _as_the_site_has_it(self) -> Protocol:
        """The protocol with the rules that overlays change; its version says which."""
        rule = self.mappings.detection_limit
        psa = self.protocol.psa
        if rule is None or rule == psa.detection_limit:
            return self.protocol
        return self.protocol.model_copy(
            update={
                "version": f"{self.protocol.version} with psa.detection_limit {rule}",
                "psa": psa.model_copy(update={"detection_limit": rule}),
            }
        )

    def read_request(
        self,
        driver: Driver,
        trace_patient: str = "",
        progress: Progress | None = None,
    ) -> ReadRequest:
        """What the run reads from a source."""
        return ReadRequest(
            self.mappings,
            driver,
            timezone=self.settings.timezone,
            test_data=self.settings.test_data,
            subject_system=self.settings.write.subject_system or "",
            selection=self.selection,
            trace_patient=trace_patient,
            progress=progress,
        )

    @cached_property
    def origin(self) -> Origin:
        """What all published resources of the run have in common."""
        return Origin(
            self.mappings.base,
            self.settings.source_name,
            self.protocol.id,
            self.protocol.version,
            self.as_of,
        )

    def endpoints(self, record: PatientRecord, lacking: Lacking) -> PatientEndpoints | None:
        """The endpoints of one patient."""
        return compute(record, self.protocol, self.as_of, lacking, self.mappings.scales)


@dataclass
class PublishCounts:
    """The published resources of some patients, and what was not used of theirs."""

    cohort: int = 0
    observations: int = 0
    provenances: int = 0
    used: int = 0
    not_used: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    #: Of candidates who have no index procedure by as-of.
    counted: Counter[Counted] = field(default_factory=Counter)


class Publisher:
    """Publishes patients one by one, through the three writers that it is given."""

    def __init__(self, job: RunConfig, lacking: Lacking, older: dict[str, list[Issue]]) -> None:
        self._job = job
        self._lacking = lacking
        self._older = older
        self._maker = ObservationMaker(
            job.mappings, job.protocol, job.origin, job.settings.write.subject_system or ""
        )
        self.slice = PublishCounts()

    def publish(
        self,
        record: PatientRecord,
        write_observations: Callable[[bytes], Any],
        write_provenance: Callable[[bytes], Any],
        tell: Callable[[Issue, str], Any],
    ) -> None:
        """Compute one patient and write his endpoints, as lines of JSON."""
        done = self.slice
        computed = self._job.endpoints(record, self._lacking)
        if computed is None:
            self._outside(record, tell)
            done.not_used[Reason.SUPERSEDED] += len(self._older.get(record.patient, ()))
            return
        made = self._maker.make(
            computed.results,
            f"Patient/{record.patient}",
            computed.line.index.ref,
            subject_identifier(record),
        )
        ids = [observation.id for observation in made]
        entities = [treatment.ref for treatment in computed.line.treatment]
        for result in computed.results:
            if result.evidence:
                entities += references(result)
        content = ENCODER.encode_lines(made)
        write_observations(content)
        source = provenance(ids, content, entities, self._job.origin)
        write_provenance(ENCODER.encode(source) + b"\n")
        done.cohort += 1
        done.observations += len(ids)
        done.provenances += 1
        self._tell(record, computed, tell)

    def _outside(self, record: PatientRecord, tell: Callable[[Issue, str], Any]) -> None:
        """All treatments are after as-of: those are told, everything else only counts."""
        done = self.slice
        for item in record.items():
            if type_of(item.ref) != "Procedure" or type(item) is Therapy:
                done.counted[Reason.NOT_IN_COHORT, type_of(item.ref), item.code] += 1
                continue
            reason = item.reason if isinstance(item, NotUsed) else Reason.AFTER_AS_OF
            done.not_used[reason] += 1
            tell(Issue(item.ref, reason), record.patient)

    def _tell(
        self,
        record: PatientRecord,
        computed: PatientEndpoints,
        tell: Callable[[Issue, str], Any],
    ) -> None:
        done = self.slice
        unused = 0
        for notice in sorted(computed.line.issues):
            if notice.used:
                done.notes[notice.reason] += 1
            else:
                done.not_used[notice.reason] += 1
                unused += 1
            tell(notice, record.patient)
        for notice in self._older.get(record.patient, ()):
            done.not_used[notice.reason] += 1
            tell(notice, record.patient)
        done.used += sum(1 for _ in record.items()) - unused


def subject_identifier(record: PatientRecord) -> str:
    """What another server knows the patient by; empty where there is none, or more than one."""
    everyone = [record.facts, *record.former]
    current = [one for one in everyone if one is not None and one.patient == record.patient]
    return current[0].identifier if current else ""
