"""Computes resources that are in memory: for tests, notebooks and other programs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from fhircryo.mapping.load import Mappings, load_mappings, load_protocol
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.shapes import DECODER, ENCODER
from fhircryo.record.items import Issue, Reason
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.publish_patients import PublishCounts, folder_outputs, publish_patients
from fhircryo.runs.read_source import ReadResult, read_opened
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.summary import all_counted
from fhircryo.settings import Settings
from fhircryo.sources.memory_source import MemorySource


@dataclass
class ReportedIssue:
    """The reason why a resource is not used or, if ``used``, a remark on it."""

    name: str
    patient: str | None
    reason: str
    detail: str
    used: bool = False


@dataclass
class Outcome:
    """What computing resources in memory gives: published resources, issues and counts."""

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
    config = RunConfig(
        mappings or load_mappings(settings.mappings, settings.base),
        protocol or load_protocol(settings.protocol),
        as_of,
        settings,
        selection,
    )
    return outcome_of(read_resources(resources, config), config)


def outcome_of(read: ReadResult, config: RunConfig) -> Outcome:
    """Compute the endpoints of what was read."""
    collected, records = read.collected, read.records
    done = Outcome()
    counts = PublishCounts()
    context = config.publish_context
    pieces = publish_patients(
        records.records.values(), read.lacking, read.older, context, folder_outputs(context)
    )
    for piece in pieces:
        counts.add(piece.counts)
        if piece.output is not None:
            done.observations += map(DECODER.decode, piece.output.observation_lines.splitlines())
            done.provenances.append(DECODER.decode(piece.output.provenance_line))
        done.issues += [_reported(issue, piece.patient) for issue in piece.issues]
    done.issues += [_reported(issue, patient) for issue, patient in sorted(records.listed)]
    for unreadable in collected.facts.all_unreadable:
        done.issues.append(
            ReportedIssue(collected.place(unreadable), None, Reason.UNREADABLE, unreadable.words)
        )
    for (reason, kind, code), count in all_counted(read, counts).items():
        done.counted[str(reason), kind, code] = count
    return done


def _reported(issue: Issue, patient: str) -> ReportedIssue:
    return ReportedIssue(issue.ref, patient or None, issue.reason, issue.detail, issue.used)
