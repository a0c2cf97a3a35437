"""Adverse events: dates, assessed suspects, grades, fatal outcomes; R4 and R5."""

from typing import Any

import pytest

from fhircryo.record.items import Reason
from tests.unit.extraction import ABSENT, SNOMED, codings, extracted
from tests.unit.inputs import BASE, Resource, adverse_event, concept, lab

NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
UNRELATED, UNLIKELY = concept(NCIT, "C53256"), concept(NCIT, "C53257")
POSSIBLE = concept(NCIT, "C53258")
INDEX = {"reference": "Procedure/x1"}
FATAL = concept("http://terminology.hl7.org/CodeSystem/adverse-event-outcome", "fatal")


def event(**more: Any) -> Any:
    return extracted(adverse_event("a", "2016-02-01", **more))


def suspected(*entities: Resource) -> tuple[bool, tuple[str, ...]]:
    found = event(suspectEntity=list(entities))
    return found.has_suspects, found.suspects


# ------------------------------------------------------------------ dates


@pytest.mark.parametrize(
    ("dates", "when", "recorded"),
    [
        ({"date": "2016-02-01", "recordedDate": "2016-03-01"}, "2016-02-01", None),
        ({"detected": "2016-02-02", "recordedDate": "2016-03-01"}, "2016-02-02", None),
        ({"occurrenceDateTime": "2016-02-03", "detected": "2016-02-09"}, "2016-02-03", None),
        ({"occurrencePeriod": {"start": "2016-02-04"}}, "2016-02-04", None),
        ({"recordedDate": "2016-03-01"}, None, "2016-03-01"),
        ({"date": "some day", "recordedDate": "2016-03-01"}, None, "2016-03-01"),
        ({}, None, None),
    ],
)
def test_the_date_of_an_adverse_event(dates, when, recorded):
    found = event(**{"date": None, **dates})
    assert (found.when and str(found.when.first)) == when
    assert (found.recorded and str(found.recorded.first)) == recorded


# ------------------------------------------------------------------ suspects


@pytest.mark.parametrize(
    ("causality", "kept"),
    [
        (None, True),
        ([], True),
        ([{"assessment": UNRELATED}], False),
        ([{"assessment": UNLIKELY}], False),
        ([{"assessment": POSSIBLE}], True),
        ([{"assessment": UNRELATED}, {"assessment": POSSIBLE}], True),
        ([{"assessment": UNRELATED}, {"assessment": UNLIKELY}], False),
        ([{"productRelatedness": "not related"}], True),
        ([{"assessment": ABSENT}], True),
        ([{"assessment": UNRELATED}, {"author": {"reference": "Practitioner/1"}}], False),
        # R5
        ({"entityRelatedness": UNRELATED, "assessmentMethod": {"text": "by rule"}}, False),
        ({"assessmentMethod": UNLIKELY}, False),
        ({"entityRelatedness": POSSIBLE}, True),
    ],
)
def test_a_suspect_that_is_assessed_as_unrelated_is_none(causality, kept):
    entity = {"instance": INDEX, "causality": causality}
    if causality is None:
        del entity["causality"]
    assert suspected(entity) == (True, ("Procedure/x1",) if kept else ())


def test_of_several_suspects_each_has_its_assessment():
    other = {"instance": {"reference": "Procedure/x2"}, "causality": [{"assessment": UNRELATED}]}
    assert suspected(other, {"instance": INDEX}) == (True, ("Procedure/x1",))


def test_what_counts_as_a_recorded_suspect():
    assert suspected({"instanceReference": INDEX}) == (True, ("Procedure/x1",))
    for unresolved in (
        {"instanceCodeableConcept": {"text": "a drug"}},
        {"instance": {"display": "the operation"}},
        {"instance": {"identifier": {"value": "4711"}}},
        {"instance": {"reference": "Medication/m"}},
    ):
        assert suspected(unresolved) == (True, ())
    for absent in ({"instance": ABSENT}, {"instanceCodeableConcept": ABSENT}, ABSENT):
        assert suspected(absent) == (False, ())


# ------------------------------------------------------------------ grades


@pytest.mark.parametrize("outcome", [FATAL, [FATAL], [{"text": "?"}, FATAL]])
def test_a_fatal_outcome_is_the_last_grade_of_every_scale(outcome):
    found = event(outcome=outcome)
    assert found.grades == (
        ("clavien-dindo", "II"),
        ("clavien-dindo", "V"),
        ("ctcae-grade", "5"),
        ("sir-2003", "F"),
    )
    assert event(outcome={"text": "died"}).grades == (("clavien-dindo", "II"),)


@pytest.mark.parametrize("place", ["severity", "event", "seriousness", "category", "code"])
def test_where_a_grade_may_stand(place):
    graded: Any = concept(f"{BASE}/CodeSystem/sir-2003", "D")
    more = {"severity": None, place: [graded] if place == "category" else graded}
    assert event(**more).grades == (("sir-2003", "D"),)


def test_the_grade_of_the_research_guide():
    url = "http://hl7.org/fhir/uv/ae-research-ig/StructureDefinition/ae-grade"
    codes = ("C41338", "C41339", "C41340", "C41337", "C48275")
    for grade, code in enumerate(codes, 1):
        graded = [{"url": url, "valueCodeableConcept": concept(NCIT, code)}]
        assert event(severity=None, extension=graded).grades == (("ctcae-grade", str(grade)),)


@pytest.mark.parametrize("code", ["IIIb-d", "IIIbd", "IIIb"])
def test_the_suffix_for_disability_is_left_out(code):
    coded = event(severity=concept(f"{BASE}/CodeSystem/clavien-dindo", code))
    assert coded.grades == (("clavien-dindo", "IIIb"),)
    grading = lab("o", code=codings((SNOMED, "789279006")), valueString=code)
    assert extracted(grading).grades == (("clavien-dindo", "IIIb"),)


@pytest.mark.parametrize("number", ["1e999999", "1e28", "9" * 40, "1e-40"])
def test_an_absurd_number_is_no_grade(number):
    text = '{"resourceType":"Observation","id":"o","status":"final","subject":{"reference":'
    text += '"Patient/p1"},"code":{"coding":[{"system":"http://snomed.info/sct","code":'
    text += f'"789279006"}}]}},"valueQuantity":{{"value":{number}}}}}'
    assert extracted(text.encode()).grades == ()


# ------------------------------------------------------------------ kinds, other reasons


def test_the_kind_of_a_complication():
    retention = concept("http://hl7.org/fhir/sid/icd-10-cm", "R33.8")
    assert event(event=retention).kinds == ("retention",)
    assert event(code=retention).kinds == ("retention",)
    assert event(event={"text": "headache"}).kinds == ()


def test_statuses():
    assert event(actuality="potential").problem is Reason.STATUS
    assert event(status="entered-in-error").problem is Reason.STATUS
    found = event(actuality=None)
    assert (found.problem, found.taken_as_actual) == (None, True)
    assert extracted(adverse_event("a", "2016-02-01", None)).problem is Reason.NO_SUBJECT
