"""What is merged over the input takes linear time: versions, deletions, panels, Bundles, chains."""

import gc
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inputs import (
    BASE,
    Resource,
    adverse_event,
    bundle,
    compute,
    concept,
    folder,
    lab,
    merged,
    meta,
    procedure,
    psa,
)

ONE = [procedure()]


def _of_p1(kind: str, name: str, **more: Any) -> Resource:
    return {"resourceType": kind, "id": name, "subject": {"reference": "Patient/p1"}, **more}


def _grading(number: int, **more: Any) -> Resource:
    grade = concept(f"{BASE}/CodeSystem/clavien-dindo", "II")
    code = concept("http://snomed.info/sct", "789279006")
    own = {"status": "final", "code": code, "valueCodeableConcept": grade}
    return _of_p1("Observation", f"g{number}", **own, **more)


def _report(version: int, results: list[Resource], *named: str) -> Resource:
    own = {"status": "final", "effectiveDateTime": "2016-06-01", "meta": meta(version=str(version))}
    result = [{"reference": f"#{name}"} for name in named]
    return _of_p1("DiagnosticReport", "r", **own, contained=results, result=result)


def _nested(n: int) -> Resource:
    inner = [bundle([lab(f"a{k}")], [f"urn:uuid:x{k}"]) for k in range(n)]
    return bundle(inner, [f"urn:uuid:{k}" for k in range(n)])


def _panels(n: int) -> Resource:
    members = [
        {"resourceType": "Observation", "id": f"o{k}", "hasMember": [{"reference": f"#o{k + 1}"}]}
        for k in range(n)
    ]
    return _report(1, members, "o0")


def _labelled(n: int) -> Resource:
    made = _report(1, [psa(f"o{k}", None, 1) for k in range(n)], *(f"o{k}" for k in range(n)))
    made["meta"]["security"] = [{"system": "urn:x", "code": str(k)} for k in range(n)]
    return made


SHAPES = {
    "results of one moment": lambda n: [psa(f"a{k}", "2016-06-01", 1 + k / n) for k in range(n)],
    "versions": lambda n: [psa("a", "2016-06-01", 1, meta=meta(version=str(k))) for k in range(n)],
    "procedures of a day": lambda n: [procedure(f"x{k}") for k in range(n)],
    "gradings of as many procedures": lambda n: [
        *(procedure(f"y{k}") for k in range(n)),
        *(_grading(k, partOf=[{"reference": f"Procedure/y{k}"}]) for k in range(n)),
    ],
    "gradings of one event": lambda n: [
        adverse_event("e", "2016-01-12"),
        *(_grading(k, focus=[{"reference": "AdverseEvent/e"}]) for k in range(n)),
    ],
    "a chain of merged patients": lambda n: [merged(f"p{k + 1}", f"p{k + 2}") for k in range(n)],
    "a loop of merged patients": lambda n: [merged(f"p{k}", f"p{(k + 1) % n}") for k in range(n)],
    "unreadable lines": lambda n: [b"{"] * n,
    "Bundles in a Bundle": lambda n: [_nested(n)],
    "a chain of panels": lambda n: [_panels(n)],
    "results and labels of a report": lambda n: [_labelled(n)],
    "versions and results of a report": lambda n: [
        *(_report(k, [lab("z")]) for k in range(n)),
        _report(n, [psa(f"o{k}", None, 1) for k in range(n)], *(f"o{k}" for k in range(n))),
    ],
    "deletions": lambda n: [
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": f"Observation/a{k}"}}],
        }
        for k in range(n)
    ],
    "an array": lambda n: [json.dumps([lab(f"a{k}") for k in range(n)]).encode()],
}


def _seconds(place: Path, resources: list[Any]) -> float:
    """The CPU time of computing, in seconds."""
    source = folder(place / "in", {"a.ndjson": [*ONE, *resources]})
    gc.collect()
    start = time.process_time()
    compute(source, place / "out")
    return time.process_time() - start


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_time_is_linear(shape, tmp_path):
    """Four times as much takes about four times as long; in quadratic time, sixteen times."""
    make, size = SHAPES[shape], 2000
    ratios = []
    for number in range(3):
        fixed, short, long = (
            _seconds(tmp_path / f"{number}-{n}", make(n) if n else []) for n in (0, size, 4 * size)
        )
        ratios.append((long - fixed) / max(short - fixed, 0.02))
        if ratios[-1] < 8:
            return
    raise AssertionError(ratios)
