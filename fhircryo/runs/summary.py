"""The numbers of a run, its manifest, and the issues of resources that it did not use."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from fhircryo import __version__
from fhircryo.fhir.urls import without_query
from fhircryo.fhir.wire import DECODERS
from fhircryo.logs import visible_json
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.outcome import outcome
from fhircryo.publish.shapes import ENCODER, OutOperationOutcome
from fhircryo.record.collector import Counted, Facts
from fhircryo.record.items import Issue, Reason
from fhircryo.record.patients import Selection
from fhircryo.record.stated import never_stated
from fhircryo.runs.publish_patients import PublishCounts
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.unused_input import unreadable_files, why_no_cohort
from fhircryo.sources.lacking import lacking_types

#: Settings that no result depends on, or that the manifest has elsewhere; headers may be secrets.
_NOT_OF_THE_RESULT = {
    *("protocol", "mappings", "source", "target", "write"),
    *("state_folder", "sync", "log_format", "log_level", "smallest_group", "least_at_risk"),
}


class Summary(msgspec.Struct):
    """The numbers of a run.

    ``resources``: all resources that were read as FHIR. ``used`` and ``not_used`` (by reason,
    without the unreadable ones) add up to those of the types that are read. ``unreadable``: lines,
    entries and files. ``notes``: resources that were used with a remark, by reason.
    ``never_stated``: the kinds of events that no resource states, so that "none" may mean "not
    recorded". ``withheld``: by type, the words with which the server says that it withholds
    results. ``overlays_unmet``: overlays that name nothing that the source holds.
    ``unreadable_files``: those of ``unreadable`` that are whole files, with the reason of each.
    ``no_cohort``: why no patient is in the cohort; empty if one is.
    """

    patients: int = 0
    cohort: int = 0
    observations: int = 0
    provenances: int = 0
    resources: int = 0
    read_by_type: dict[str, int] = {}
    other_types: dict[str, int] = {}
    used: int = 0
    not_used: dict[str, int] = {}
    notes: dict[str, int] = {}
    unreadable: int = 0
    lacking: list[str] = []
    withheld: dict[str, str] = {}
    never_stated: list[str] = []
    unknown_patients: list[str] = []
    passed_over: list[str] = []
    overlays_unmet: list[str] = []
    unreadable_files: list[str] = []
    no_cohort: str = ""


def issue_writer(file: IO[bytes], base: str) -> Callable[[Issue, str], None]:
    """A function that writes an issue of a resource and its patient as a line.

    ``base``: the canonical base URL, as in ``Mappings``.
    """

    def report(issue: Issue, patient: str) -> None:
        what = f"{issue.ref} (Patient/{patient})" if patient else issue.ref
        made = outcome(issue.reason, what, base, detail=issue.detail, note=issue.used)
        file.write(_line(made))

    return report


def write_other_issues(
    file: IO[bytes], read: ReadResult, config: RunConfig, total: PublishCounts
) -> None:
    """Write the issues that belong to no patient of the cohort: listed, unreadable, or counted."""
    base = config.mappings.base
    report = issue_writer(file, base)
    for issue, patient in sorted(read.records.listed):
        report(issue, patient)
    for unreadable in read.collected.facts.all_unreadable:
        made = outcome(
            Reason.UNREADABLE,
            read.collected.place(unreadable),
            base,
            detail=unreadable.words,
        )
        file.write(_line(made))
    for (reason, kind, code), count in sorted(all_counted(read, total).items()):
        made = outcome(reason, f"{kind} {code}".rstrip(), base, detail=f"{count} resources")
        file.write(_line(made))


def _line(made: OutOperationOutcome) -> bytes:
    """An issue as a line that people look at: characters that are not visible are escaped."""
    line = ENCODER.encode(made)
    return (line if line.isascii() else visible_json(line.decode()).encode()) + b"\n"


def all_counted(read: ReadResult, total: PublishCounts) -> Counter[Counted]:
    """The resources that are only counted, by reason, type and code (empty: not by code)."""
    return read.records.counted + read.older_of_others + Counter(total.counted)


def sum_up(read: ReadResult, config: RunConfig, total: PublishCounts) -> Summary:
    """The numbers of a run, given those of its patients (``total``)."""
    facts = read.collected.facts
    not_used = Counter(total.not_used)
    for (reason, _, _), count in all_counted(read, total).items():
        not_used[reason] += count
    for issue, _ in read.records.listed:
        not_used[issue.reason] += 1
    types = Counter(facts.seen)
    return Summary(
        patients=types["Patient"],
        cohort=total.cohort,
        observations=total.observations,
        provenances=total.provenances,
        resources=types.total(),
        read_by_type={kind: types[kind] for kind in DECODERS if types[kind]},
        other_types={kind: types[kind] for kind in sorted(types) if kind not in DECODERS},
        used=total.used + read.records.drugs,
        not_used={str(reason): not_used[reason] for reason in Reason if not_used[reason]},
        notes={str(reason): total.notes[reason] for reason in Reason if reason in total.notes},
        unreadable=facts.number_unreadable,
        lacking=lacking_types(read.lacking, read.collected.withheld),
        withheld=dict(sorted(read.collected.withheld.items())),
        never_stated=never_stated(facts.stated),
        unknown_patients=_unknown(config.selection, facts),
        passed_over=list(read.collected.passed_over),
        overlays_unmet=[
            overlay.name
            for number, overlay in enumerate(config.mappings.overlays, 1)
            if overlay.can_be_met and number not in facts.overlays_met
        ],
        unreadable_files=unreadable_files(read),
        no_cohort="" if total.cohort else why_no_cohort(read, config.as_of),
    )


def _unknown(selection: Selection, facts: Facts) -> list[str]:
    """The patients that were asked for, but of whom nothing was read."""
    if selection.include is None:
        return []
    return sorted(selection.include - facts.met)


def write_manifest(
    path: Path, read: ReadResult, hashes: dict[str, str | None], config: RunConfig, summary: Summary
) -> None:
    """Write the manifest: versions, hashes, cut-off date, inputs and counts."""
    content = {
        "fhircryo": __version__,
        "as_of": config.as_of.isoformat(),
        "protocol": {
            "id": config.protocol.id,
            "version": config.protocol.version,
            "sha256": _hash_of(config.protocol),
        },
        "mappings": {
            "files": list(config.mappings.files),
            "sha256": config.mappings.sha256,
            "psa.detection_limit": config.mappings.detection_limit,
        },
        "selection": {
            "patients": asked_for(config.selection),
            "excluded": len(config.selection.exclude),
        },
        "settings": config.settings.model_dump(
            mode="json",
            exclude=_NOT_OF_THE_RESULT,
        ),
        "server": without_query(read.name) if read.server is not None else None,
        "inputs": [
            {"name": file.name, "size": file.size, "sha256": hashes[file.name]}
            for file in read.collected.files
        ],
        "counts": summary,
    }
    path.write_bytes(msgspec.json.format(ENCODER.encode(content), indent=2) + b"\n")


def asked_for(selection: Selection) -> list[str] | None:
    """The patients that were asked for by name (None: all), without those who objected."""
    return None if selection.include is None else sorted(selection.include - selection.exclude)


def _hash_of(protocol: Protocol) -> str:
    return hashlib.sha256(protocol.model_dump_json(by_alias=True).encode()).hexdigest()
