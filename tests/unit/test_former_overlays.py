"""Overlays of version 0.1: former concepts, and entries that are shipped by now."""

import logging
from pathlib import Path

import pytest

from fhircryo.errors import UsageError
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.mapping.load import Mappings, load_mappings
from fhircryo.record.items import Dropped, EventKind, Finding
from tests.unit.extraction import LOINC, SNOMED, codings, extracted

LOCAL = "https://h.example/local"
ICD = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
STATUS = f"""\
concepts:
  disease-status:
    codes: [{{system: "{LOCAL}", code: verlauf, verified: site}}]
"""
WORSENED = f"""\
concepts:
  disease-worsened:
    codes: [{{system: "{LOCAL}", code: P, verified: site}}]
"""
BOTH = STATUS + WORSENED.removeprefix("concepts:\n")
PROGRESS, WORSE = (LOCAL, "P"), (SNOMED, "271299001")


def _loaded(tmp_path: Path, *texts: str) -> Mappings:
    paths = []
    for number, text in enumerate(texts, 1):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return load_mappings(paths)


def _entry(system: str, code: str, more: str = "") -> str:
    return f'{{system: "{system}", code: "{code}", verified: site{more}}}'


def _overlay(concept: str, *codes: str, withdraw: str = "") -> str:
    text = f"concepts:\n  {concept}:\n    codes: [{', '.join(codes)}]\n"
    return text + (f"    withdraw: [{withdraw}]\n" if withdraw else "")


def _own(mappings: Mappings, system: str, code: str) -> list[CodeEntry]:
    """What overlays say of a code."""
    return [entry for entry in mappings.meanings(system, code) if entry.layer]


def _stated(mappings: Mappings, code: tuple[str, str], value: tuple[str, str]) -> bool:
    """Whether an Observation with this code and value states progression."""
    found = extracted(
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "subject": {"reference": "Patient/p1"},
            "effectiveDateTime": "2016-06-01",
            "code": codings(code),
            "valueCodeableConcept": codings(value),
        },
        mappings,
    )
    if isinstance(found, Finding):
        return found.kinds == (EventKind.PROGRESSION,)
    assert isinstance(found, Dropped)
    return False


# ------------------------------------------------------------------ former concepts


@pytest.mark.parametrize("texts", [(BOTH,), (STATUS, WORSENED), (WORSENED, STATUS)])
def test_each_former_code_counts_with_each_former_value(texts, tmp_path):
    mappings = _loaded(tmp_path, *texts)
    for code in ((LOCAL, "verlauf"), (LOINC, "97509-4")):
        assert [_stated(mappings, code, value) for value in (PROGRESS, WORSE)] == [True, True]
        assert not _stated(mappings, code, (LOCAL, "R"))
    assert all(overlay.can_be_met for overlay in mappings.overlays)


def test_the_shipped_code_still_counts_without_the_overlay_s_values(tmp_path):
    mappings = _loaded(tmp_path, STATUS)
    assert _stated(mappings, (LOCAL, "verlauf"), WORSE)
    assert not _stated(mappings, (LOCAL, "verlauf"), PROGRESS)
    assert _own(mappings, LOINC, "97509-4") == []


@pytest.mark.slow
def test_what_is_withdrawn_from_the_former_concepts(tmp_path):
    code = f'{{system: "{LOINC}", code: 97509-4}}'
    value = f'{{system: "{SNOMED}", code: "271299001"}}'
    no_code = f"concepts:\n  disease-status:\n    withdraw: [{code}]\n"
    no_value = f"concepts:\n  disease-worsened:\n    withdraw: [{value}]\n"
    nothing = "concepts:\n  disease-worsened:\n    withdraw: all\n"
    mappings = _loaded(tmp_path, BOTH, no_code)
    assert not _stated(mappings, (LOCAL, "verlauf"), (LOCAL, "R"))
    assert _stated(mappings, (LOCAL, "verlauf"), WORSE)
    assert mappings.meanings(LOINC, "97509-4") == ()
    mappings = _loaded(tmp_path, BOTH, no_value)
    assert not _stated(mappings, (LOINC, "97509-4"), WORSE)
    assert _stated(mappings, (LOINC, "97509-4"), PROGRESS)
    assert _loaded(tmp_path, BOTH, nothing).meanings(LOCAL, "verlauf") == ()
    # What an overlay withdraws from today's concept does not come back by the former one.
    gone = f"concepts:\n  progression-finding:\n    withdraw: [{code}]\n"
    assert _loaded(tmp_path, gone, BOTH).meanings(LOINC, "97509-4") == ()


def test_former_texts_count_as_well(tmp_path):
    text = "concepts:\n  disease-status: {texts: [{text: Verlauf, verified: site}]}\n"
    text += "  disease-worsened: {texts: [{text: Progress, verified: site}]}\n"
    mappings = _loaded(tmp_path, text)
    found = extracted(
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "subject": {"reference": "Patient/p1"},
            "effectiveDateTime": "2016-06-01",
            "code": {"text": "verlauf"},
            "valueCodeableConcept": {"text": "progress"},
        },
        mappings,
    )
    assert isinstance(found, Finding)


def test_what_a_code_states_today_decides(tmp_path):
    """The value R of MII's component is a local recurrence; an overlay said that it is worse."""
    local = "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem"
    primary = (f"{local}/mii-cs-onko-verlauf-primaertumor", "R")
    text = _overlay("disease-status", _entry(SNOMED, "277062004"))
    text += _overlay("disease-worsened", _entry(*primary)).removeprefix("concepts:\n")
    entries = [
        entry
        for entry in _loaded(tmp_path, text).meanings(SNOMED, "277062004")
        if entry.values and primary in entry.values
    ]
    assert [entry.concept for entry in entries] == ["local-recurrence-finding"]


def test_a_former_code_twice(tmp_path):
    again = _overlay("disease-status", _entry(LOINC, "97509-4"))
    assert _loaded(tmp_path, again).codes == load_mappings().codes
    with pytest.raises(UsageError, match="already defined"):
        _loaded(tmp_path, again.replace("verified", "status: [final], verified"))


@pytest.mark.slow
def test_a_warning_says_once_what_to_write_instead(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        _loaded(tmp_path, BOTH)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"{tmp_path / '1.yaml'}:2: concepts.disease-status: ")
    _, _, instead = message.partition("write instead: ")
    assert instead.startswith("progression-finding: ")
    caplog.clear()
    written = _loaded(tmp_path, f"concepts: {{{instead}}}")
    assert not caplog.records
    assert written.codes == _loaded(tmp_path, BOTH).codes


# ------------------------------------------------------------------ what is shipped by now

SITE = f'body_site: [{{system: "{SNOMED}", code: "41216001"}}]'
REPEATED = {
    "a code": _overlay("cryoablation", _entry("http://www.ama-assn.org/go/cpt", "55873")),
    "a prefix": _overlay("metastasis", _entry(ICD, "C78", ", descendants: prefix")),
    "a prefix below which others stand": _overlay(
        "metastasis", _entry(ICD, "C77", ", descendants: prefix")
    ),
    "a code with one of its conditions": _overlay(
        "cryoablation", _entry(SNOMED, "26782000", f", {SITE}")
    ),
    "a code below a prefix": _overlay("metastasis", _entry(ICD, "C79.5")),
    "a prefix below a prefix, spelt otherwise": _overlay(
        "metastasis", _entry(ICD, "c795", ", descendants: prefix")
    ),
    "a therapy without its kind": _overlay(
        "salvage-therapy", _entry("http://www.ama-assn.org/go/cpt", "55880")
    ),
    "radiotherapy as a therapy": _overlay(
        "salvage-therapy", _entry(SNOMED, "1156506007", f", {SITE}")
    ),
    "a code that names the prostate": _overlay("metastasis", _entry(SNOMED, "712849003")),
    "a unit": "units: {psa: {factors: {µg/dl: 10}}}\n",
    "an extension": "grades: {extensions: [EXTENSION]}\n",
    "a grade": (
        "grades: {scales: {ctcae-grade: {codes: [{system: "
        '"http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl", code: C41338, grade: "1", '
        "verified: site}]}}}\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REPEATED)
def test_what_is_shipped_by_now_is_left_out(case, tmp_path):
    shipped = load_mappings()
    text = REPEATED[case].replace("EXTENSION", next(iter(shipped.extensions)))
    mappings = _loaded(tmp_path, text)
    assert mappings.index == shipped.index._replace(systems=mappings.index.systems)
    assert mappings.concepts == shipped.concepts
    assert (mappings.units, mappings.extensions) == (shipped.units, shipped.extensions)
    assert mappings.grades == shipped.grades
    # It may be of this hospital all the same, so nobody is told that it is not.
    assert not mappings.overlays[0].can_be_met


CONTRADICTED = {
    "a code with a condition": _overlay(
        "cryoablation",
        _entry("http://www.ama-assn.org/go/cpt", "55873", ", body_site: [{text: prostate}]"),
    ),
    "a code with a unit": _overlay("psa", _entry(LOINC, "2857-1", ", unit: ng/mL")),
    "another kind": _overlay(
        "salvage-therapy", _entry("http://www.ama-assn.org/go/cpt", "55880", ", kind: hormone")
    ),
    "radiotherapy as a hormone": _overlay(
        "salvage-therapy", _entry(SNOMED, "1156506007", f", {SITE}, kind: hormone")
    ),
    "radiotherapy of any organ": _overlay("salvage-therapy", _entry(SNOMED, "1156506007")),
    "a code of another prefix": _overlay("metastasis", _entry(ICD, "C77.5")),
    "a code below a prefix with a condition": _overlay(
        "metastasis", _entry(ICD, "C79.5", ", status: [active]")
    ),
    "another factor": "units: {psa: {factors: {µg/dl: 1}}}\n",
    "another grade": REPEATED["a grade"].replace('"1"', '"2"'),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CONTRADICTED)
def test_what_contradicts_a_shipped_entry_is_refused(case, tmp_path):
    with pytest.raises(UsageError, match="already defined"):
        _loaded(tmp_path, CONTRADICTED[case])


def test_a_code_that_was_withdrawn_is_no_repetition(tmp_path):
    withdraw = f'{{system: "{ICD}", code: C79.1, descendants: prefix}}'
    text = f"concepts:\n  metastasis-unclear-site:\n    withdraw: [{withdraw}]\n"
    text += _overlay("metastasis", _entry(ICD, "C79.1", ", descendants: prefix")).removeprefix(
        "concepts:\n"
    )
    (entry,) = _own(_loaded(tmp_path, text), ICD, "C79.11")
    assert entry.concept == "metastasis"


def test_radiotherapy_may_be_withdrawn_from_where_it_was(tmp_path):
    code = f'{{system: "{SNOMED}", code: "1156506007"}}'
    text = f"concepts:\n  salvage-therapy:\n    withdraw: [{code}]\n"
    assert load_mappings().meanings(SNOMED, "1156506007")
    assert _loaded(tmp_path, text).meanings(SNOMED, "1156506007") == ()
    with pytest.raises(UsageError, match="salvage-therapy has no such code to withdraw"):
        _loaded(tmp_path, text, text)


def test_two_overlays_may_state_the_same(tmp_path):
    one = _overlay("psa", _entry(LOCAL, "A", ", specimen: [{text: serum}]"))
    again = one.replace("serum", "Serum")
    (entry,) = _loaded(tmp_path, one, again).codes[LOCAL, "A"]
    assert entry.layer == 1
    with pytest.raises(UsageError, match="already defined"):
        _loaded(tmp_path, _overlay("psa", _entry(LOCAL, "A"), _entry(LOCAL, "A")))
