"""Metastases, recurrences, progression, diagnoses, causes of death and characteristics."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhircryo.calendar import Span
from fhircryo.mapping.load import Mappings, load_mappings
from fhircryo.record.items import (
    Cause,
    CauseOfDeath,
    Characteristic,
    CharacteristicKind,
    Diagnosis,
    Dropped,
    EventKind,
    Finding,
    Malignancy,
    NotUsed,
    Reason,
)
from tests.unit.extraction import (
    ABSENT,
    ICD_10,
    LOINC,
    SNOMED,
    UCUM,
    codings,
    extracted,
)
from tests.unit.inputs import HTEST, Resource, condition, lab

ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
LOCAL = "https://h.example/local"
M, N, L, P = (
    EventKind.METASTASIS,
    EventKind.NODAL_RECURRENCE,
    EventKind.LOCAL_RECURRENCE,
    EventKind.PROGRESSION,
)
OWN_LOCAL = ("https://w3id.org/fhircryo/CodeSystem/concept", "local-recurrence")
MII = "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem"
ONSET = "2016-06-01"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition"


def stated(*codes: tuple[str | None, str], **more: Any) -> Any:
    """The item of a Condition with these codes."""
    return extracted(condition("c", ONSET, code=codings(*codes), **more))


def observed(code: Resource, value: Resource | None = None, **more: Any) -> Any:
    own = {"effectiveDateTime": ONSET, "code": code, "valueCodeableConcept": value, **more}
    return extracted(lab("o", **own))


# ------------------------------------------------------------------ which events a Condition states


@pytest.mark.parametrize(
    ("codes", "kinds", "unclear"),
    [
        ([(SNOMED, "314994000")], (M,), False),
        ([(ICD_10, "C79.5")], (M,), False),
        ([(ICD_10_CM, "C7951")], (M,), False),
        ([("urn:oid:2.16.840.1.113883.6.90", "c79.51")], (M,), False),
        ([("http://fhir.de/CodeSystem/bfarm/icd-10-gm", "C79.5")], (M,), False),
        ([(ICD_10, "C77.5")], (N,), False),
        ([(ICD_10, "C77.5"), (ICD_10, "C79.5")], (N,), False),
        ([(ICD_10, "C77.5"), OWN_LOCAL], (N,), False),
        ([(ICD_10, "C77.8")], (M,), True),
        ([(ICD_10_CM, "C79.82")], (M,), True),
        ([(ICD_10_CM, "C79.11")], (M,), True),
        ([(ICD_10, "C77.8"), (ICD_10, "C78.0")], (M,), False),
        ([OWN_LOCAL], (L,), False),
        ([(ICD_10, "C61"), OWN_LOCAL], (L,), False),
        ([(ICD_10, "C18.7"), (ICD_10, "C78.7")], (M,), False),
        ([(ICD_10, "C61"), (ICD_10, "C79.5")], (M,), False),
    ],
)
def test_the_events_of_a_condition(codes, kinds, unclear):
    found = stated(*codes)
    assert isinstance(found, Finding)
    assert (found.kinds, found.unclear_site) == (kinds, unclear)


@pytest.mark.parametrize(
    ("code", "malignancy"),
    [
        ((ICD_10, "C61"), Malignancy.PROSTATE_CANCER),
        ((SNOMED, "399068003"), Malignancy.PROSTATE_CANCER),
        ((ICD_10, "C18.7"), Malignancy.OTHER),
        ((ICD_10_CM, "C9100"), Malignancy.OTHER),
    ],
)
def test_diagnoses(code, malignancy):
    found = stated(code)
    assert isinstance(found, Diagnosis)
    assert (found.malignancy, found.problem) == (malignancy, None)
    assert found.when == Span(date(2016, 6, 1), date(2016, 6, 1))


@pytest.mark.parametrize("code", ["C44.3", "C76.3", "C80.0", "D05", "I21"])
def test_what_is_no_malignancy_of_another_site(code):
    assert isinstance(stated((ICD_10, code)), Dropped)


# ------------------------------------------------------------------ verification, other reasons


@pytest.mark.parametrize(
    ("verification", "counts"),
    [
        (None, True),
        (ABSENT, True),
        ({"coding": [ABSENT]}, True),
        (codings((VERIFICATION, "confirmed")), True),
        (codings((VERIFICATION, "refuted"), (VERIFICATION, "confirmed")), True),
        (codings((VERIFICATION, "unconfirmed")), False),
        (codings((LOCAL, "confirmed")), False),
        ({"text": "confirmed"}, False),
        ({"coding": [{"display": "Confirmed"}]}, False),
    ],
)
@pytest.mark.parametrize("code", ["C79.5", "C61"])
def test_the_verification_status(code, verification, counts):
    found = stated((ICD_10, code), verificationStatus=verification)
    assert isinstance(found, Finding | Diagnosis)
    assert found.problem is (None if counts else Reason.STATUS)


def test_other_reasons_for_which_a_condition_does_not_count():
    assert stated((ICD_10, "C61"), meta=HTEST).problem is Reason.TEST_DATA
    assert extracted(condition("c", ONSET, None)).problem is Reason.NO_SUBJECT


# ------------------------------------------------------------------ dates


@pytest.mark.parametrize(
    ("onset", "recorded", "first", "last", "recorded_only"),
    [
        ({"onsetDateTime": "2016-06-01"}, "2016-07-01", "2016-06-01", "2016-06-01", False),
        ({"onsetPeriod": {"start": "2016-06-01"}}, None, "2016-06-01", "2016-06-01", False),
        ({"onsetPeriod": {"end": "2016-06-01"}}, "2016-07-01", "2016-07-01", "2016-07-01", True),
        ({"onsetPeriod": ABSENT}, "2016-07-01", "2016-07-01", "2016-07-01", True),
        ({}, "2016-07", "2016-07-01", "2016-07-31", True),
        ({"onsetDateTime": "2016"}, "2016-07-01T10:00:00Z", "2016-01-01", "2016-07-01", False),
        ({"onsetDateTime": "2016"}, "2015-07-01", "2016-01-01", "2016-12-31", False),
        ({"onsetDateTime": "2016"}, "2016-07", "2016-01-01", "2016-12-31", False),
    ],
)
def test_the_date_of_a_condition(onset, recorded, first, last, recorded_only):
    own = {"onsetDateTime": None, "recordedDate": recorded, **onset}
    found = stated((ICD_10, "C79.5"), **own)
    assert (str(found.when.first), str(found.when.last)) == (first, last)
    assert found.recorded_only is recorded_only


def test_an_undated_condition():
    assert stated((ICD_10, "C79.5"), onsetDateTime=None).when is None
    assert stated((ICD_10, "C79.5"), onsetDateTime="last spring").when is None


# ------------------------------------------------------------------ the primary


def related(url: str, *refs: str) -> list[Resource]:
    return [{"url": url, "valueReference": {"reference": ref}} for ref in refs]


def test_a_code_that_names_the_prostate():
    assert stated((SNOMED, "314994000")).of_prostate is True
    assert stated((ICD_10, "C79.5")).of_prostate is None


def test_the_extension_that_names_the_primary():
    url = f"{MCODE}/mcode-related-primary-cancer-condition"
    found = stated(
        (ICD_10, "C79.5"), extension=related(url, "Condition/a", "Condition/b/_history/2", "#c")
    )
    assert found.primaries == ("Condition/a", "Condition/b")


def test_a_related_condition_is_the_primary_in_the_profile_of_secondary_cancers_only():
    extension = related("http://hl7.org/fhir/StructureDefinition/condition-related", "Condition/a")
    secondary = f"{MCODE}/mcode-secondary-cancer-condition"
    for profile, primaries in (
        (None, ()),
        ([LOCAL], ()),
        ([LOCAL, secondary], ("Condition/a",)),
        ([f"{secondary}|4.0.0"], ("Condition/a",)),
    ):
        meta = {"profile": profile} if profile else {}
        found = stated((ICD_10, "C79.5"), meta=meta, extension=extension)
        assert found.primaries == primaries


def test_the_focus_of_an_observation_names_the_primary():
    focus = [{"reference": "Condition/a"}, {"reference": "Procedure/x"}, {"display": "cancer"}]
    assert observed(codings((SNOMED, "385421009")), focus=focus).primaries == ("Condition/a",)


# ------------------------------------------------------------------ findings


def test_a_finding_with_any_value_or_none():
    metastasis = codings((SNOMED, "385421009"))
    for value in (None, {"text": "somewhere"}, codings((f"{MII}/x", "OSS")), ABSENT):
        found = observed(metastasis, value)
        assert isinstance(found, Finding)
        assert (found.kinds, found.problem, found.of_prostate) == ((M,), None, None)
    absent = observed(metastasis, dataAbsentReason={"text": "not known"})
    assert (type(absent), absent.reason) == (NotUsed, Reason.VALUE)
    assert isinstance(observed(metastasis, dataAbsentReason=ABSENT), Finding)


def test_a_finding_with_one_of_its_values():
    status = codings((LOINC, "97509-4"))
    found = observed(status, codings((LOCAL, "x"), (SNOMED, "271299001")))
    assert found.kinds == (P,)
    assert isinstance(observed(status, codings((SNOMED, "268910001"))), Dropped)
    for more in ({}, {"dataAbsentReason": {"text": "?"}}):
        assert observed(status, None, **more).reason is Reason.VALUE


def test_one_observation_states_several_events_by_its_components():
    def part(code: str, table: str, value: str) -> Resource:
        system = f"{MII}/mii-cs-onko-verlauf-{table}"
        return {
            "code": codings((SNOMED, code)),
            "valueCodeableConcept": codings((system, value)),
        }

    course = codings((SNOMED, "396432002"))
    parts = [part("277062004", "primaertumor", "R"), part("399656008", "lymphknoten", "R")]
    found = observed(course, component=parts)
    assert (found.ref, found.kinds) == ("Observation/o", (N, L))
    parts = [part("277062004", "primaertumor", "K")]
    assert isinstance(observed(course, component=parts), Dropped)
    missing = {"code": codings((SNOMED, "277062004")), "dataAbsentReason": {"text": "?"}}
    assert observed(course, component=[missing]).reason is Reason.VALUE


@pytest.mark.parametrize(
    ("written", "first", "last"),
    [
        ({"effectiveDateTime": "2016-06"}, "2016-06-01", "2016-06-30"),
        ({"effectivePeriod": {"start": "2016-06-02", "end": "2016-09-01"}}, *["2016-06-02"] * 2),
        ({"effectiveInstant": "2016-06-03T10:00:00Z"}, *["2016-06-03"] * 2),
    ],
)
def test_the_date_of_a_finding(written, first, last):
    own = {"effectiveDateTime": None, **written}
    found = observed(codings((SNOMED, "385421009")), **own)
    assert (str(found.when.first), str(found.when.last)) == (first, last)


def test_a_finding_without_a_date_is_a_finding():
    for written in (None, "soon"):
        assert observed(codings((SNOMED, "385421009")), effectiveDateTime=written).when is None


@pytest.mark.parametrize("status", ["preliminary", "cancelled", "entered-in-error", None])
def test_a_finding_of_another_status_is_not_used(status):
    found = observed(codings((SNOMED, "385421009")), status=status)
    assert (type(found), found.reason) == (NotUsed, Reason.STATUS)


# ------------------------------------------------------------------ cause of death


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (codings((ICD_10, "C61")), Cause.PROSTATE_CANCER),
        (codings((LOCAL, "7"), (SNOMED, "399068003")), Cause.PROSTATE_CANCER),
        (codings((ICD_10, "I21.9")), Cause.OTHER),
        (codings((ICD_10, "C18.7")), Cause.OTHER),
        (codings((ICD_10, "C79.5")), Cause.UNKNOWN),
        (codings((ICD_10, "C77.5")), Cause.UNKNOWN),
        # Codes that name the prostate as the primary, and one that does not.
        (codings((SNOMED, "314994000")), Cause.PROSTATE_CANCER),
        (codings((SNOMED, "369606006")), Cause.PROSTATE_CANCER),
        (codings((SNOMED, "314969001")), Cause.PROSTATE_CANCER),
        (codings((ICD_10, "C79.5"), (SNOMED, "314994000")), Cause.PROSTATE_CANCER),
        (codings((SNOMED, "94222008")), Cause.UNKNOWN),
        (codings((SNOMED, "94222008"), (LOCAL, "7")), Cause.UNKNOWN),
        (codings((ICD_10, "R99")), Cause.UNKNOWN),
        (codings((SNOMED, "261665006")), Cause.UNKNOWN),
        (codings((SNOMED, "261665006"), (LOCAL, "7")), Cause.UNKNOWN),
        ({"text": "prostate cancer"}, Cause.UNKNOWN),
        (None, Cause.UNKNOWN),
        (ABSENT, Cause.UNKNOWN),
    ],
)
def test_the_cause_of_death(value, cause):
    found = observed(codings((LOINC, "69453-9")), value)
    assert isinstance(found, CauseOfDeath)
    assert found.cause is cause


def test_a_cause_of_death_may_be_undated_or_absent():
    code = codings((LOINC, "69453-9"))
    found = observed(code, codings((ICD_10, "C61")), effectiveDateTime=None)
    assert (found.cause, found.when) == (Cause.PROSTATE_CANCER, None)
    found = observed(code, dataAbsentReason={"text": "?"})
    assert found.cause is Cause.UNKNOWN
    assert observed(code, valueString="C61").cause is Cause.UNKNOWN
    assert observed(code, status="preliminary").reason is Reason.STATUS


# ------------------------------------------------------------------ characteristics


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Mappings:
    overlay = tmp_path / "site.yaml"
    codes = "".join(
        f'  {kind}:\n    codes: [{{system: "{LOCAL}", code: {kind}, verified: t}}]\n'
        for kind in CharacteristicKind
    )
    overlay.write_text(f"concepts:\n{codes}")
    return load_mappings([overlay])


LONG_T = "American Joint Committee on Cancer cT2a (qualifier value)"


def volume(value: Any, **more: Any) -> Resource:
    return {"valueQuantity": {"value": value, "system": UCUM, **more}}


@pytest.mark.parametrize(
    ("kind", "stated_", "value"),
    [
        ("isup-grade-group", {"valueInteger": 3}, 3),
        ("isup-grade-group", {"valueQuantity": {"value": 3}}, 3),
        (
            "gleason-score",
            {"valueCodeableConcept": {"coding": [{"code": "x", "display": "4 + 3 = 7"}]}},
            "4 + 3 = 7",
        ),
        ("clinical-t-category", {"valueCodeableConcept": codings((LOCAL, "cT2a"))}, "cT2a"),
        ("clinical-t-category", {"valueCodeableConcept": {"text": "cT2a"}}, "cT2a"),
        # 1279716004: grade group 3 (Gleason score 4 + 3 = 7).
        ("isup-grade-group", {"valueCodeableConcept": codings((SNOMED, "1279716004"))}, "3"),
        (
            "clinical-t-category",
            {"valueCodeableConcept": {"coding": [{"code": "x", "display": LONG_T}]}},
            LONG_T,
        ),
        ("clinical-t-category", {"valueString": " cT2a "}, "cT2a"),
        ("prostate-volume", volume(Decimal("41.5"), code="mL"), Decimal("41.5")),
        ("prostate-volume", volume(41, unit="ml"), 41),
        ("prostate-volume", volume(41, code="cm3"), 41),
        ("prostate-volume", volume(Decimal("0.041"), code="L"), 41),
    ],
)
def test_a_characteristic(site, kind, stated_, value):
    made = lab("o", code=codings((LOCAL, kind)), effectiveDateTime=ONSET, **stated_)
    if "valueQuantity" in stated_:
        made["valueQuantity"] = {**stated_["valueQuantity"]}
        made["valueQuantity"]["value"] = float(stated_["valueQuantity"]["value"])
    found = extracted(made, site)
    assert isinstance(found, Characteristic)
    assert (found.kind, found.value) == (kind, value)


@pytest.mark.parametrize(
    ("kind", "stated_", "reason"),
    [
        ("prostate-volume", volume(41, code="g"), Reason.UNIT),
        ("prostate-volume", volume(41), Reason.UNIT),
        ("prostate-volume", volume(41, code="mL", comparator="<"), Reason.VALUE),
        ("prostate-volume", volume(10**20, code="mL"), Reason.VALUE),
        ("prostate-volume", {"valueString": "large"}, Reason.VALUE),
        ("gleason-score", {}, Reason.VALUE),
        ("gleason-score", {"dataAbsentReason": {"text": "?"}, "valueInteger": 7}, Reason.VALUE),
        ("gleason-score", {"valueString": "a report " * 20}, Reason.VALUE),
        ("gleason-score", {"valueInteger": 7, "effectiveDateTime": None}, Reason.NO_USABLE_DATE),
        ("gleason-score", {"valueInteger": 7, "status": "preliminary"}, Reason.STATUS),
    ],
)
def test_what_is_no_characteristic(site, kind, stated_, reason):
    own = {"code": codings((LOCAL, kind)), "effectiveDateTime": ONSET, **stated_}
    found = extracted(lab("o", **own), site)
    assert (type(found), found.reason) == (NotUsed, reason)


@pytest.mark.parametrize(
    ("value", "kind"), [("1279715000", CharacteristicKind.ISUP_GRADE_GROUP), ("45923-7", None)]
)
def test_a_code_of_grade_groups_and_gleason_scores_counts_by_its_value(value, kind):
    found = observed(codings((SNOMED, "385377005")), codings((SNOMED, value)))
    assert found.kind is kind if kind else isinstance(found, Dropped)


def test_one_code_may_state_two_characteristics_by_its_value(tmp_path):
    overlay = tmp_path / "site.yaml"
    lines = ["concepts:"]
    for kind, value in (("isup-grade-group", "g2"), ("gleason-score", "s7")):
        lines += [f"  {kind}:", "    codes:", f'      - system: "{LOCAL}"', "        code: grade"]
        lines += ["        verified: t", f"        value: [{{system: x, code: {value}}}]"]
    overlay.write_text("\n".join(lines))
    site = load_mappings([overlay])

    def graded(value: Resource | None) -> Any:
        own = {"code": codings((LOCAL, "grade")), "effectiveDateTime": ONSET}
        return extracted(lab("o", valueCodeableConcept=value, **own), site)

    assert graded(codings(("x", "g2"))).kind is CharacteristicKind.ISUP_GRADE_GROUP
    assert graded(codings(("x", "s7"))).kind is CharacteristicKind.GLEASON_SCORE
    assert isinstance(graded(codings(("x", "s9"))), Dropped)
    assert isinstance(graded(None), Dropped)
