"""The folder of a review: an index, and a page for each patient of the cohort."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhircryo import __version__
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.logs import json_text
from fhircryo.publish.folder_target import check_target, writing_to
from fhircryo.research.report.environment import html_environment, svg_url
from fhircryo.review.psa_chart import psa_chart
from fhircryo.runs.execution import Execution
from fhircryo.runs.read_source import ReadOptions, no_garbage_collection, read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.explanation import Story, story_of
from fhircryo.setup.explanation_words import plain as number_words
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import folder_of
from fhircryo.storage.json_files import read_json

MANIFEST, INDEX, PATIENTS = "manifest.json", "index.html", "patients"
OWN = frozenset({MANIFEST, INDEX, PATIENTS})
_HERE = Path(__file__).parent
_TEMPLATES = ("style.css", "review.js")
#: Marks of an endpoint that a reviewer should look at first.
_DOUBTS = ("interval", "absent", "not final")


@dataclass(frozen=True)
class Entry:
    """An endpoint in the index. ``flags``: why it should be looked at; ``changed``: since last."""

    endpoint: str
    time_point: str
    value: str
    reason: str
    flags: tuple[str, ...]
    changed: bool

    @property
    def name(self) -> str:
        """The endpoint and, of a questionnaire, its time point."""
        return _name(self.endpoint, self.time_point)


@dataclass(frozen=True)
class Reviewed:
    """What a run tells: the patients, the endpoints that changed, and what was unreadable."""

    patients: int
    changed: int
    unreadable: int


def write_review(
    source: str | Path, folder: Path, config: RunConfig, execution: Execution | None = None
) -> Reviewed:
    """Write a review of the cohort of a source: the whole folder, or nothing if anything fails.

    The pages have the ids and dates of patients. Those who can read the folder are its owner only.

    Raises:
        SourceError: the source cannot be read.
        TargetError: the folder cannot be written.
        UsageError: the folder holds other files.
    """
    how = execution or Execution()
    read_from = folder_of(source)
    check_target(folder, read_from, own=OWN)
    before = _values_of(folder / MANIFEST)
    how.begin("reading")
    reading = ReadOptions(how.workers, how.progress, server=ServerReading(folder, how.bulk))
    read = read_source(source, config, reading)
    how.begin("writing")
    # Decisions that a browser keeps belong to the source and the protocol, not to one run.
    key = hashlib.sha256(f"{read.name}\n{config.protocol.id}".encode()).hexdigest()[:16]
    templates = _Templates(config, key)
    values: dict[str, dict[str, str]] = {}
    patients: list[dict[str, Any]] = []
    changed = 0
    with writing_to(folder, OWN) as work, no_garbage_collection():
        (work / PATIENTS).mkdir()
        for patient in sorted(read.records.records):
            computed = config.endpoints(read.records.records[patient], read.lacking)
            if computed is None:
                continue
            story = story_of(read, computed, config)
            entries = list(_entries(story, computed, before.get(patient)))
            changed += sum(entry.changed for entry in entries)
            values[patient] = {entry.name: entry.value for entry in entries}
            page = f"{PATIENTS}/{len(patients) + 1:05d}.html"
            text = templates.patient(story, computed, entries)
            (work / page).write_text(text, encoding="utf-8")
            patients.append({"patient": patient, "page": page, "entries": entries})
        (work / INDEX).write_text(templates.index(patients), encoding="utf-8")
        manifest = {
            "fhircryo": __version__,
            "review": key,
            "as_of": config.as_of.isoformat(),
            "protocol": {"id": config.protocol.id, "version": config.protocol.version},
            "endpoints": values,
        }
        (work / MANIFEST).write_text(json_text(manifest) + "\n", encoding="utf-8")
    return Reviewed(len(patients), changed, read.collected.facts.number_unreadable)


def _values_of(manifest: Path) -> dict[str, dict[str, str]]:
    """The endpoints of the review that the folder holds, by patient; empty if there is none."""
    try:
        endpoints = read_json(manifest)["endpoints"]
        return {patient: dict(values) for patient, values in endpoints.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _entries(
    story: Story, computed: PatientEndpoints, before: dict[str, str] | None
) -> Iterator[Entry]:
    """The endpoints of a patient; ``before``: those of the last review, None if there is none."""
    for told, result in zip(story.endpoints, computed.results, strict=True):
        found = (result.high is not None, result.value is None, not result.final)
        yield Entry(
            told.endpoint,
            told.time_point,
            told.value,
            "" if result.reason is None else str(result.reason),
            tuple(flag for flag, is_so in zip(_DOUBTS, found, strict=True) if is_so),
            changed=before is not None
            and before.get(_name(told.endpoint, told.time_point)) != told.value,
        )


def _name(endpoint: str, time_point: str) -> str:
    return f"{endpoint} {time_point}".strip()


class _Templates:
    """The pages of a review; they load nothing, and send nothing."""

    def __init__(self, config: RunConfig, key: str) -> None:
        environment = html_environment(_HERE)
        environment.filters["number"] = number_words
        style, script = ((_HERE / name).read_text(encoding="utf-8") for name in _TEMPLATES)
        environment.globals.update(config=config, key=key, style=style, script=script)
        self._patient = environment.get_template("patient.html.j2")
        self._index = environment.get_template("index.html.j2")

    def patient(self, story: Story, computed: PatientEndpoints, entries: list[Entry]) -> str:
        """The page of a patient."""
        drawn = psa_chart(computed.course)
        rows = zip(story.endpoints, computed.results, entries, strict=True)
        responses = sorted(computed.line.record.responses, key=lambda one: one.when.first)
        text: str = self._patient.render(
            story=story,
            rows=list(rows),
            chart=svg_url(drawn) if drawn else "",
            responses=responses,
        )
        return text

    def index(self, patients: list[dict[str, Any]]) -> str:
        """The index of all patients."""
        found = [entry for patient in patients for entry in patient["entries"]]
        text: str = self._index.render(
            patients=patients,
            endpoints=sorted({entry.name for entry in found}),
            reasons=sorted({entry.reason for entry in found if entry.reason}),
            flags=_DOUBTS,
        )
        return text
