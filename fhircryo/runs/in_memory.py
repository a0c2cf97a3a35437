"""Computes resources that are in memory: for tests, notebooks and other programs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from fhircryo.mapping.load import Mappings, load_mappings, load_protocol
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.shapes import ENCODER
from fhircryo.record.items import Issue, Reason
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.read_source import ReadResult, read_opened
from fhircryo.runs.run_config import Publisher, RunConfig
from fhircryo.settings import Settings
from fhircryo.sources.memory_source import MemorySource


@dataclass
class ReportedIssue:
    """Something told of a resource: why it is not used, or (``used``) what is odd about it."""

    name: str
    patient: str | None
    reason: str
    detail: str
    used: bool = False


@dataclass
class Outcome:
    """What computing resources in memory gives: as published, and as told."""

    observations: list[dict[str, Any]] = field(default_factory=list)
    provenances: list[dict[str, Any]] = field(default_factory=list)
    issues: list[ReportedIssue] = field(default_factory=list)
    counted: dict[tuple[str, str, str], int] = field(default_factory=dict)


def read_resources(resources: Iterable[dict[str, Any] | bytes], config: RunConfig) -> ReadResult:
    """Read resources in memory, as a source is read."""
    lines = [line if isinstance(line, bytes) else ENCODER.encode(line) for line in resources]
    return read_opened(MemorySource(lines), config)


def compute_resources(
    resources: Iterable[dict[str, Any] | bytes],
    as_of: date,
    protocol: Protocol | None = None,
    mappings: Mappings | None = None,
    settings: Settings | None = None,
    selection: Selection = ALL_PATIENTS,
) -> Outcome:
    """Compute resources in memory: FHIR JSON as dicts (numbers as int or Decimal) or as lines."""
    settings = settings or Settings()
    job = RunConfig(
        mappings or load_mappings(settings.mappings, settings.base),
        protocol or load_protocol(settings.protocol),
        as_of,
        settings,
        selection,
    )
    read = read_resources(resources, job)
    collected, records = read.collected, read.records
    done = Outcome()
    publisher = Publisher(job, read.lacking, read.older)
    decode = msgspec.json.Decoder(float_hook=Decimal).decode

    def tell(notice: Issue, patient: str) -> None:
        done.issues.append(
            ReportedIssue(notice.ref, patient or None, notice.reason, notice.detail, notice.used)
        )

    for record in sorted(records.records.values(), key=lambda record: record.patient):
        publisher.publish(
            record,
            lambda content: done.observations.extend(map(decode, content.splitlines())),
            lambda content: done.provenances.append(decode(content)),
            tell,
        )
    for notice, patient in sorted(records.listed):
        tell(notice, patient)
    for unreadable in sorted(collected.facts.unreadable):
        done.issues.append(
            ReportedIssue(collected.place(unreadable), None, Reason.UNREADABLE, unreadable.detail)
        )
    for (reason, kind, code), count in (records.counted + publisher.slice.counted).items():
        done.counted[str(reason), kind, code] = count
    return done
