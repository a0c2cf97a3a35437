"""Procedures and medications: index treatments, salvage therapies, radiotherapy; R4 and R5."""

from pathlib import Path
from typing import Any

import pytest

from fhircryo.mapping.load import Mappings, load_mappings
from fhircryo.record.items import Dropped, Drug, Reason, Therapy, TherapyKind, Treatment
from tests.unit.extraction import ABSENT, ICD_10, SNOMED, codings, extracted, record
from tests.unit.inputs import HTEST, Resource, concept, procedure

ATC = "http://www.whocc.no/atc"
CPT = "http://www.ama-assn.org/go/cpt"
LEUPRORELIN = concept(ATC, "L02AE02")
PROSTATE = [concept(SNOMED, "41216001")]
BEAM, SEEDS, COURSE = "1156506007", "425767004", "1217123003"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition"


def medicated(kind: str, **more: Any) -> Any:
    own: Resource = {
        "resourceType": kind,
        "id": "m",
        "status": "active",
        "subject": {"reference": "Patient/p1"},
        "medicationCodeableConcept": LEUPRORELIN,
        **more,
    }
    return extracted({key: one for key, one in own.items() if one is not None})


def order(**more: Any) -> Any:
    return medicated("MedicationRequest", **{"intent": "order", "authoredOn": "2016-06-01", **more})


def days(found: Therapy) -> tuple[str, str]:
    """The first day, and the last day of the end, where they are known."""
    return (
        str(found.when.first) if found.when else "",
        str(found.end.last) if found.end else "",
    )


# ------------------------------------------------------------------ the index treatment


def test_the_sessions_that_a_treatment_is_part_of():
    refs = ["Procedure/s", "https://h.example/fhir/Procedure/t/_history/1", "Encounter/e"]
    found = extracted(procedure(partOf=[{"reference": ref} for ref in refs]))
    assert isinstance(found, Treatment)
    assert found.sessions == ("Procedure/s", "Procedure/t")
    assert extracted(procedure()).sessions == ()


def test_a_treatment_of_r5():
    dated = {"performedDateTime": None, "occurrencePeriod": {"start": "2016-01-10"}}
    outcome = concept(SNOMED, "385670004")
    found = extracted(procedure(status="stopped", outcome=outcome, **dated))
    assert (str(found.when.first), found.completed, found.successful) == (
        "2016-01-10",
        False,
        False,
    )


# ------------------------------------------------------------------ procedures


@pytest.mark.parametrize(
    ("codes", "modality"),
    [
        ([(SNOMED, SEEDS)], "brachytherapy"),
        ([(SNOMED, BEAM)], "external-beam"),
        ([(SNOMED, COURSE)], "unspecified"),
        ([(SNOMED, COURSE), (SNOMED, BEAM)], "external-beam"),
    ],
)
def test_radiotherapy_is_a_local_therapy_with_its_modality(codes, modality):
    period = {"start": "2012-03-01", "end": "2012-05"}
    found = extracted(
        procedure(
            code=codings(*codes), bodySite=PROSTATE, performedDateTime=None, performedPeriod=period
        )
    )
    assert isinstance(found, Therapy)
    assert (found.kind, found.modality) == (TherapyKind.LOCAL, modality)
    assert days(found) == ("2012-03-01", "2012-05-31")


def test_the_modality_of_a_course_stands_in_its_extension():
    def course(*modalities: str) -> Any:
        parts = [
            {"url": f"{MCODE}/mcode-radiotherapy-modality", "valueCodeableConcept": one}
            for one in (codings((SNOMED, code)) for code in modalities)
        ]
        url = f"{MCODE}/mcode-radiotherapy-modality-and-technique"
        return extracted(
            procedure(
                code=codings((SNOMED, COURSE)),
                bodySite=PROSTATE,
                extension=[{"url": "x"}, {"url": url, "extension": parts}],
            )
        )

    assert course(BEAM).modality == "external-beam"
    assert course("1").modality == "unspecified"
    assert course(BEAM, SEEDS).modality == "unspecified"
    assert course().modality == "unspecified"


def test_a_salvage_procedure_has_a_kind_and_no_modality():
    code = codings(("https://w3id.org/fhircryo/CodeSystem/concept", "salvage-therapy"))
    found = extracted(procedure(code=code, status="in-progress"))
    assert (found.kind, found.modality, found.ongoing) == (TherapyKind.LOCAL, "", True)
    assert extracted(procedure(code=code)).ongoing is False
    assert extracted(procedure(code=code, status="preparation")).problem is Reason.STATUS


def test_a_procedure_of_several_meanings():
    both = codings((CPT, "55873"), (SNOMED, SEEDS))
    assert isinstance(extracted(procedure(code=both)), Treatment)


# ------------------------------------------------------------------ medications


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("L02AE02", TherapyKind.HORMONE),
        ("L02BX03", TherapyKind.HORMONE),
        ("L01CD02", TherapyKind.SYSTEMIC),
    ],
)
def test_the_kind_of_a_drug(code, kind):
    assert order(medicationCodeableConcept=concept(ATC, code)).kind is kind
    drug = {"resourceType": "Medication", "id": "d", "code": concept(ATC, code)}
    assert extracted(drug).kind is kind
    reference = {"reference": "Medication/d"}
    named = {
        "resourceType": "MedicationStatement",
        "id": "m",
        "status": "active",
        "subject": {"reference": "Patient/p1"},
        "medicationReference": reference,
        "effectiveDateTime": "2016-06-01",
    }
    (therapy,) = record(procedure(), named, drug).therapies
    assert (therapy.kind, therapy.code) == (kind, f"{ATC}|{code}")


def test_an_order():
    found = order()
    assert (found.order, found.ongoing, days(found)) == (True, True, ("2016-06-01", ""))
    bounds = [
        {"timing": {"repeat": {"boundsPeriod": {"start": "2016-06-01", "end": end}}}}
        for end in ("2016-09-01", "2016-12")
    ]
    found = order(dosageInstruction=[{}, {"timing": ABSENT}, *bounds])
    assert (found.ongoing, days(found)) == (False, ("2016-06-01", "2016-12-31"))
    assert order(status="completed").ongoing is False


def test_what_is_taken_and_what_is_given():
    period = {"start": "2016-06-01", "end": "2016-09-01"}
    for kind in ("MedicationStatement", "MedicationAdministration"):
        found = medicated(kind, status="completed", effectivePeriod=period)
        assert (found.order, found.ongoing) == (False, False)
        assert days(found) == ("2016-06-01", "2016-09-01")
        found = medicated(kind, status="on-hold", effectivePeriod={"start": "2016-06"})
        assert (found.ongoing, days(found)) == (True, ("2016-06-01", ""))


@pytest.mark.parametrize(
    "more",
    [
        {"status": "draft"},
        {"intent": "proposal"},
        {"intent": "plan"},
        {"intent": "option"},
        {"doNotPerform": True},
    ],
)
def test_an_order_that_does_not_count(more):
    found = order(**more)
    assert (found.problem, bool(found.detail)) == (Reason.STATUS, True)


def test_r5_names_the_drug_by_a_codeable_reference():
    found = order(medicationCodeableConcept=None, medication={"concept": LEUPRORELIN})
    assert (found.kind, found.medication) == (TherapyKind.HORMONE, "")
    referred = {"reference": {"reference": "Medication/d"}}
    assert order(medicationCodeableConcept=None, medication=referred).medication == "Medication/d"
    contained = [{"resourceType": "Medication", "id": "k", "code": LEUPRORELIN}]
    inside = {"reference": {"reference": "#k"}}
    found = order(medicationCodeableConcept=None, medication=inside, contained=contained)
    assert (found.code, found.medication) == (f"{ATC}|L02AE02", "")
    ingredient = [{"item": {"concept": LEUPRORELIN}}]
    drug = extracted({"resourceType": "Medication", "id": "d", "ingredient": ingredient})
    assert isinstance(drug, Drug)


def test_r5_dates_and_statuses():
    found = medicated("MedicationStatement", status="recorded", effectiveDateTime="2016-06-01")
    assert found.problem is None
    for more in (
        {"occurenceDateTime": "2016-06-01"},
        {"occurencePeriod": {"start": "2016-06-01", "end": "2016-06-01"}},
    ):
        found = medicated("MedicationAdministration", status="completed", **more)
        assert days(found)[0] == "2016-06-01"


def test_another_drug_is_only_counted():
    assert isinstance(order(medicationCodeableConcept=concept(ATC, "N02BE01")), Dropped)
    assert isinstance(order(medicationCodeableConcept=ABSENT), Dropped)
    assert order(meta=HTEST).problem is Reason.TEST_DATA
    assert isinstance(extracted(procedure(code=codings((ICD_10, "C61")))), Dropped)


# ------------------------------------------------------------------ kinds that a site left out


@pytest.fixture(name="without_kinds")
def _without_kinds(tmp_path: Path) -> Mappings:
    """An overlay as version 0.1 had them: no code has a kind."""
    overlay = tmp_path / "site.yaml"
    codes = "".join(
        f'  {key}:\n    codes: [{{system: "https://h.example", code: {code}, verified: t}}]\n'
        for key, code in (("salvage-therapy", "S"), ("prostate-radiotherapy", "R"))
    )
    overlay.write_text(f"concepts:\n{codes}")
    return load_mappings([overlay])


def test_a_therapy_without_a_kind_is_one_that_its_resource_type_suggests(without_kinds):
    coded = concept("https://h.example", "S")
    found = extracted(procedure(code=coded), without_kinds)
    assert (type(found), found.kind) == (Therapy, TherapyKind.LOCAL)
    drug = {"resourceType": "Medication", "id": "m", "code": coded}
    assert extracted(drug, without_kinds).kind is TherapyKind.HORMONE
    request = {
        "resourceType": "MedicationRequest",
        "id": "r",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2016-06-01",
        "medicationCodeableConcept": coded,
    }
    assert extracted(request, without_kinds).kind is TherapyKind.HORMONE


def test_radiotherapy_without_a_kind_is_of_an_unspecified_modality(without_kinds):
    found = extracted(procedure(code=concept("https://h.example", "R")), without_kinds)
    assert (found.kind, found.modality) == (TherapyKind.LOCAL, "unspecified")
