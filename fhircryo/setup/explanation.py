"""The explanation of patients: the time line, the endpoints, and the unused resources."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from fhircryo.endpoints.catalogue import CATALOGUE, published_codes
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.errors import UsageError
from fhircryo.record.collector import type_of
from fhircryo.record.items import Dropped, Item, PatientRecord, Reason
from fhircryo.runs.read_source import ReadOptions, ReadResult, read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.explanation_baseline import BaselineExplanation, baseline_explanations
from fhircryo.setup.explanation_timeline import Moment, moments
from fhircryo.setup.explanation_words import EndpointExplanation, endpoint_explanation
from fhircryo.sources.places import server_of


@dataclass(frozen=True)
class Unused:
    """A resource that is not used; ``used``: it is used, and ``reason`` is only a remark."""

    resource: str
    reason: str
    detail: str
    used: bool


@dataclass
class Story:
    """The explanation of a patient; ``index``: the index procedure, None outside the cohort.

    ``baseline``: the baseline characteristics.
    """

    patient: str
    protocol: str
    as_of: str
    index: str | None
    unreadable: int = 0
    baseline: list[BaselineExplanation] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    endpoints: list[EndpointExplanation] = field(default_factory=list)
    not_used: list[Unused] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The explanation as plain data, for JSON."""
        return asdict(self)


def explain_patient(
    source: str | Path, patient: str, config: RunConfig, endpoint: str | None = None
) -> Story:
    """Read a source and explain one patient, as ``explain_patients`` does."""
    return explain_patients(source, [patient], config, endpoint)[0]


def explain_patients(
    source: str | Path, patients: Sequence[str], config: RunConfig, endpoint: str | None = None
) -> list[Story]:
    """Read a source once and explain patients; ``endpoint``: only that of this key or code.

    Raises:
        UsageError: there is no such endpoint, a patient objected, or the source holds nothing of a
            patient.
        SourceError: the source cannot be read.
    """
    if endpoint is not None:
        _check_endpoint(endpoint, config)
    asked = frozenset(patients)
    if server_of(source) is not None:
        # A server is asked for these patients only.
        config = replace(config, selection=replace(config.selection, include=asked))
    read = read_source(source, config, ReadOptions(traced=asked))
    own = _items_by_patient(read, asked)
    listed = {issue.ref: issue.reason for issue, _ in read.records.listed}
    found = _Retained(own, listed)
    return [_explained(read, patient, found, config, endpoint) for patient in patients]


class _Retained(NamedTuple):
    """What was retained of patients: ``items`` by patient, ``reasons`` of what is listed."""

    items: dict[str, list[Item]]
    reasons: dict[str, Reason]


def _explained(
    read: ReadResult,
    patient: str,
    retained: _Retained,
    config: RunConfig,
    endpoint: str | None,
) -> Story:
    """The explanation of a patient."""
    current = read.collected.patients.current(patient)
    if not read.collected.patients.allowed(current):
        raise UsageError(f"Patient/{patient} is on the list of those who objected")
    own = retained.items[current]
    dropped = _dropped(own)
    record = read.records.records.get(current)
    if record is None:
        if not own:
            raise UsageError(_words_of_nothing(read, patient))
        story = _no_candidate(own, retained.reasons, current, config)
    elif (computed := config.endpoints(record, read.lacking)) is None:
        story = _no_index(record, config)
    else:
        story = story_of(read, computed, config, endpoint)
    story.not_used += dropped
    story.unreadable = read.collected.facts.number_unreadable
    return story


def _check_endpoint(endpoint: str, config: RunConfig) -> None:
    """Raise a UsageError if no endpoint of the catalogue has this key or code."""
    instruments = (instrument.key for instrument in config.mappings.instruments)
    keys = (entry.key for entry in CATALOGUE)
    known = tuple(dict.fromkeys((*keys, *published_codes(instruments))))
    if endpoint not in known:
        raise UsageError(f"no endpoint {endpoint!r}; there are: {', '.join(known)}")


def _items_by_patient(read: ReadResult, asked: frozenset[str]) -> dict[str, list[Item]]:
    """All items of patients that were retained, under any of a patient's ids, by the current id."""
    current = read.collected.patients.current
    found: dict[str, list[Item]] = {current(patient): [] for patient in asked}
    for item in read.collected.items.values():
        if item.patient and (own := found.get(current(item.patient))) is not None:
            own.append(item)
    return found


def _dropped(items: list[Item]) -> list[Unused]:
    """The patient's resources that are only counted, by reason, type and code."""
    counts = Counter(
        (item.reason, type_of(item.ref), item.code) for item in items if type(item) is Dropped
    )
    return [
        Unused(f"{number} x {kind}", reason, code, used=False)
        for (reason, kind, code), number in sorted(counts.items())
    ]


def _words_of_nothing(read: ReadResult, patient: str) -> str:
    """What is said of a patient of whom nothing was retained."""
    if patient in read.collected.facts.met:
        return (
            f"Patient/{patient} is in this source, but has no index procedure, so that there is"
            " nothing to explain. Check whether the site's codes are mapped (--mappings)"
        )
    return (
        f"Patient/{patient} is not in this source: it holds no Patient with this id, no index"
        " procedure, and no other resource that refers to this patient. Check the id"
    )


def _no_candidate(
    own: list[Item], listed: dict[str, Reason], current: str, config: RunConfig
) -> Story:
    """The explanation of a patient without any procedure that could be the index procedure."""
    items = [item for item in own if type(item) is not Dropped]
    story = Story(current, config.protocol.name, config.as_of.isoformat(), None)
    for item in sorted(items, key=lambda item: item.ref):
        stated = getattr(item, "reason", None) or Reason.NOT_IN_COHORT
        reason = listed.get(item.ref, stated)
        story.not_used.append(Unused(item.ref, reason, getattr(item, "detail", ""), used=False))
    return story


def _no_index(record: PatientRecord, config: RunConfig) -> Story:
    """The explanation of a patient whose candidates are all dated after the as-of date."""
    story = Story(record.patient, config.protocol.name, config.as_of.isoformat(), None)
    for treatment in sorted(record.treatments, key=lambda item: item.ref):
        detail = f"a cryoablation on {treatment.when.first}"
        story.not_used.append(Unused(treatment.ref, Reason.AFTER_AS_OF, detail, used=False))
    for item in sorted(record.not_used, key=lambda item: item.ref):
        story.not_used.append(Unused(item.ref, item.reason, item.detail, used=False))
    return story


def story_of(
    read: ReadResult, computed: PatientEndpoints, config: RunConfig, endpoint: str | None = None
) -> Story:
    """The explanation of a patient of the cohort, except for what is only counted.

    ``endpoint``: only the endpoint of this key or code.
    """
    line = computed.line
    issues = [*line.issues, *read.older.get(line.record.patient, ())]
    return Story(
        line.record.patient,
        config.protocol.name,
        config.as_of.isoformat(),
        line.index.ref,
        baseline=baseline_explanations(computed.course),
        moments=moments(computed),
        endpoints=[
            endpoint_explanation(result, computed)
            for result in computed.results
            if endpoint is None or endpoint in (result.code, result.endpoint.key)
        ],
        not_used=[
            Unused(issue.ref, issue.reason, issue.detail, issue.used) for issue in sorted(issues)
        ],
    )
