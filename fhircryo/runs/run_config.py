"""The configuration of a run: mappings, protocol, cut-off date, settings and selection."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

from fhircryo.endpoints.catalogue import MAJOR_CLAVIEN, MAJOR_SIR
from fhircryo.endpoints.patient_endpoints import PatientEndpoints, compute
from fhircryo.errors import UsageError
from fhircryo.mapping.load import Mappings, load_mappings, load_protocol
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.origin import Origin
from fhircryo.record.items import Lacking, PatientRecord
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.publish_patients import PublishContext
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
        """The configuration that the settings describe.

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
        traced: frozenset[str] = frozenset(),
        progress: Progress | None = None,
    ) -> ReadRequest:
        """What the run reads from a source."""
        return ReadRequest(
            self.mappings,
            driver,
            timezone=self.settings.timezone,
            test_data=self.settings.test_data,
            accept_withheld=self.settings.accept_withheld,
            subject_system=self.settings.write.subject_system or "",
            selection=self.selection,
            traced=traced,
            progress=progress,
        )

    @cached_property
    def origin(self) -> Origin:
        """The source, protocol and cut-off date that all published resources have in common."""
        return Origin(
            self.mappings.base,
            self.settings.source_name,
            self.protocol.id,
            self.protocol.version,
            self.as_of,
        )

    @property
    def publish_context(self) -> PublishContext:
        """What the published endpoints of the run depend on besides the records."""
        return PublishContext(
            self.mappings, self.protocol, self.origin, self.settings.write.subject_system or ""
        )

    def endpoints(self, record: PatientRecord, lacking: Lacking) -> PatientEndpoints | None:
        """The endpoints of one patient."""
        return compute(record, self.protocol, self.as_of, lacking, self.mappings.scales)
