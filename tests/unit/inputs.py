"""Resources and folders that the unit tests read, and what computing them gives."""

import contextlib
import io
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

from fhircryo.cli.main import run
from fhircryo.publish.folder_target import FILES
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.execution import Execution
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.summary import Summary
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import Settings

Resource = dict[str, Any]

BASE = "https://w3id.org/fhircryo"
AS_OF = date(2017, 12, 31)
COHORT = Path(__file__).parents[2] / "examples" / "bomers-2020"


def concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _resource(kind: str, name: str, patient: str | None, more: Resource) -> Resource:
    made: Resource = {"resourceType": kind, "id": name}
    if patient is not None:
        text = patient if ":" in patient or "/" in patient else f"Patient/{patient}"
        made["subject"] = {"reference": text}
    return {key: value for key, value in {**made, **more}.items() if value is not None}


def patient(name: str, **more: Any) -> Resource:
    return _resource("Patient", name, None, more)


def merged(name: str, into: str, **more: Any) -> Resource:
    link = {"other": {"reference": f"Patient/{into}"}, "type": "replaced-by"}
    return patient(name, link=[link], **more)


def procedure(
    name: str = "x1", on: str = "2016-01-10", of: str | None = "p1", **more: Any
) -> Resource:
    own = {
        "status": "completed",
        "code": concept("http://www.ama-assn.org/go/cpt", "55873"),
        "performedDateTime": on,
    }
    return _resource("Procedure", name, of, {**own, **more})


def psa(
    name: str, on: str | None, value: Any, of: str | None = "p1", unit: str = "ng/mL", **more: Any
) -> Resource:
    own = {
        "status": "final",
        "code": concept("http://loinc.org", "2857-1"),
        "effectiveDateTime": on,
        "valueQuantity": {"value": value, "unit": unit},
    }
    return _resource("Observation", name, of, {**own, **more})


def lab(name: str, of: str | None = "p1", **more: Any) -> Resource:
    """A result that is none of ours."""
    own = {"status": "final", "code": concept("http://loinc.org", "718-7")}
    return _resource("Observation", name, of, {**own, **more})


def condition(name: str, on: str | None, of: str | None = "p1", **more: Any) -> Resource:
    """A metastasis."""
    own = {"code": concept("http://snomed.info/sct", "314994000"), "onsetDateTime": on}
    return _resource("Condition", name, of, {**own, **more})


def adverse_event(name: str, on: str, of: str | None = "p1", **more: Any) -> Resource:
    own = {
        "actuality": "actual",
        "date": on,
        "severity": concept(f"{BASE}/CodeSystem/clavien-dindo", "II"),
    }
    return _resource("AdverseEvent", name, of, {**own, **more})


def response(
    name: str, on: str, answers: list[int], of: str | None = "p1", **more: Any
) -> Resource:
    """An IIEF-5."""
    own = {
        "status": "completed",
        "questionnaire": f"{BASE}/Questionnaire/iief-5",
        "authored": on,
        "item": [
            {"linkId": f"q{number}", "answer": [{"valueInteger": answer}]}
            for number, answer in enumerate(answers, 1)
        ],
    }
    return _resource("QuestionnaireResponse", name, of, {**own, **more})


def meta(updated: str | None = None, version: str | None = None) -> Resource:
    found = {"lastUpdated": updated, "versionId": version}
    return {key: value for key, value in found.items() if value is not None}


HTEST = {
    "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}]
}


def bundle(resources: Iterable[Resource | None], urls: Iterable[str] | None = None) -> Resource:
    entries: list[Resource] = []
    found = list(resources)
    for resource, url in zip(found, urls or [""] * len(found), strict=True):
        entry: Resource = {"fullUrl": url} if url else {}
        if resource is not None:
            entry["resource"] = resource
        entries.append(entry)
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def line(resource: Resource | bytes | str) -> bytes:
    if isinstance(resource, bytes):
        return resource
    if isinstance(resource, str):
        return resource.encode()
    return json.dumps(resource, separators=(",", ":")).encode()


def lines(*resources: Resource | bytes | str) -> bytes:
    return b"".join(line(resource) + b"\n" for resource in resources)


def folder(path: Path, files: dict[str, bytes | list[Resource]]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        whole = content if isinstance(content, bytes) else lines(*content)
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(whole)
    return path


@dataclass
class Computed:
    """What is in a computed folder."""

    summary: Summary
    target: Path
    files: dict[str, bytes]

    @property
    def observations(self) -> list[Resource]:
        return [json.loads(one) for one in self.files["Observation.ndjson"].splitlines()]

    @property
    def issues(self) -> list[Resource]:
        found = [json.loads(one) for one in self.files["issues.ndjson"].splitlines()]
        return [issue for one in found for issue in one["issue"]]

    def told(self, reason: str) -> list[str]:
        """The diagnostics of a reason."""
        return [
            issue["diagnostics"]
            for issue in self.issues
            if issue["details"]["coding"][0]["code"] == reason
        ]

    @property
    def unreadable(self) -> list[str]:
        """What could not be read: ``file:line`` (or file), before the words."""
        return [text.split(": ", 1)[0] for text in self.told("unreadable")]

    def value(self, key: str, of: str = "p1") -> Any:
        return value(self.observations, key, of)


def value(observations: list[Resource], key: str, of: str = "p1") -> Any:
    """An endpoint's value; ``absent REASON``; None where there is no such endpoint."""
    found = [
        one
        for one in observations
        if one["code"]["coding"][0]["code"] == key
        and one["subject"]["reference"] == f"Patient/{of}"
    ]
    assert len(found) <= 1, f"{key} stands {len(found)} times"
    if not found:
        return None
    one = found[0]
    if "valueQuantity" in one:
        return float(one["valueQuantity"]["value"])
    if "valueCodeableConcept" in one:
        return one["valueCodeableConcept"]["coding"][0]["code"]
    if "valueInteger" in one:
        return one["valueInteger"]
    return f"absent {one['dataAbsentReason']['coding'][1]['code']}"


def patients_of(observations: list[Resource]) -> set[str]:
    return {one["subject"]["reference"].removeprefix("Patient/") for one in observations}


def compute(
    source: Path,
    target: Path,
    *,
    as_of: date = AS_OF,
    selection: Selection = ALL_PATIENTS,
    settings: Settings | None = None,
    workers: int = 1,
    **how: Any,
) -> Computed:
    """Compute a folder; that all resources are accounted for holds of every one."""
    job = RunConfig.of(settings or Settings(), as_of, selection)
    summary = compute_folder(source, target, job, Execution(workers=workers), **how)
    assert summary.used + sum(summary.not_used.values()) == sum(summary.read_by_type.values())
    files = {file.name: file.read_bytes() for file in target.iterdir() if file.name in FILES}
    assert files.keys() == FILES
    return Computed(summary, target, files)


@dataclass
class Ran:
    """What a command gave."""

    code: int
    out: str
    err: str


def cli(*arguments: object) -> Ran:
    """Run a command in this process; an error of the program comes through as it is."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["fhircryo", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run()
        except SystemExit as stop:
            code = stop.code
    return Ran(
        code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue()
    )
