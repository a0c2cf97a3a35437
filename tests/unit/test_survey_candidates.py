"""What the survey suggests by system and code, by values, and in the places of version 2."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.load import load_mappings
from fhircryo.settings import Settings
from fhircryo.setup.survey.overlay_draft import draft_overlay
from fhircryo.setup.survey.run_survey import survey
from fhircryo.setup.survey.search_words import Description, load_words
from fhircryo.setup.survey.suggestions import Suggester
from fhircryo.setup.survey.survey_json import CodeRow, Survey
from fhircryo.setup.survey.survey_text import survey_lines
from tests.unit.inputs import folder

MAPPINGS = load_mappings()
SUGGESTER = Suggester(MAPPINGS)
LOCAL = "https://h.example/local"
SCT = "http://snomed.info/sct"
CPT = "http://www.ama-assn.org/go/cpt"
#: OIDs of code systems by HL7 Terminology, and one that nobody here knows.
OID_OF = {
    name: f"urn:oid:2.16.840.1.113883.{number}"
    for name, number in {
        "loinc": "6.1",
        "cpt": "6.12",
        "rxnorm": "6.88",
        "icd-10-cm": "6.90",
        "snomed": "6.96",
        "ncit": "3.26.1.1",
    }.items()
}
UNKNOWN_OID = "urn:oid:1.2.276.0.76.99.1"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Run in an empty folder, without settings from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FHIRCRYO_")]:
        monkeypatch.delenv(name)


def suggested(kind: str, element: str, system: str, code: str, text: str = "") -> str:
    found = SUGGESTER.suggestions(kind, element, Description.of((text,), system, code))
    return next((one.name for one in found if not one.status), "")


def surveyed(tmp_path: Path, *resources: Any) -> Survey:
    source = folder(tmp_path / "in", {"all.ndjson": list(resources)})
    return survey(str(source), Settings(), 1)


def resource(kind: str, name: str, code: Any, of: str = "p1", **more: Any) -> dict[str, Any]:
    key = "event" if kind == "AdverseEvent" else "code"
    subject = {"reference": f"Patient/{of}"}
    return {"resourceType": kind, "id": name, key: code, "subject": subject, **more}


def concept(system: str, code: str, display: str = "") -> dict[str, Any]:
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]}


def row(result: Survey, code: str, element: str = "code") -> CodeRow:
    (found,) = (
        one for one in result.codes if code in (one.code, one.text) and one.element == element
    )
    return found


def accepted(tmp_path: Path, result: Survey) -> Survey:
    """Survey again with the overlay of a person who accepts and verifies the whole draft."""
    text = re.sub(r"^#(?!#)", "", draft_overlay(result, MAPPINGS), flags=re.MULTILINE)
    path = tmp_path / "site.yaml"
    path.write_text(text.replace('verified: ""', 'verified: "asked"'), "utf-8")
    return survey(str(tmp_path / "in"), Settings(mappings=(path,)), 1)


# ------------------------------------------------------------------ known codes


@pytest.mark.parametrize(
    "kind, system, code, what",
    [
        ("Procedure", OID_OF["cpt"], "55873", "cryoablation"),
        ("Procedure", "2.16.840.1.113883.6.12", "55873", "cryoablation"),
        ("Procedure", CPT, "55873-22", "cryoablation"),
        ("Procedure", CPT, "55873 59", "cryoablation"),
        ("Procedure", OID_OF["cpt"], "55873-22", "cryoablation"),
        ("Procedure", LOCAL, "55873-00", "cryoablation"),
        ("Procedure", "", "55873", "cryoablation"),
        ("Procedure", LOCAL, "558730", ""),
        ("Procedure", SCT, "55873", ""),
        ("Procedure", SCT, "26782000:363704007=41216001", "cryoablation"),
        ("Procedure", f"{SCT}/900000000000207008", "26782000", "cryoablation"),
        ("Procedure", OID_OF["snomed"], "1217123003", "prostate-radiotherapy"),
        ("Procedure", "OPCS-4", "M67.1", "cryoablation"),
        ("Procedure", LOCAL, "M67.1", ""),
        ("Observation", OID_OF["loinc"], "2857-1", "psa"),
        ("Observation", "LOINC", "2857-1", "psa"),
        ("Observation", LOCAL, "2857-1", "psa"),
        ("Observation", LOCAL, "2857", ""),
        ("Observation", OID_OF["loinc"], "10886-0", "psa-excluded"),
        ("Observation", OID_OF["loinc"], "97509-4", "progression-finding"),
        ("Observation", OID_OF["loinc"], "69453-9", "cause-of-death"),
        ("Observation", OID_OF["loinc"], "94734-1", "isup-grade-group"),
        ("Observation", OID_OF["loinc"], "35266-6", "gleason-score"),
        ("Observation", OID_OF["loinc"], "21905-5", "clinical-t-category"),
        ("Observation", OID_OF["snomed"], "1297142007", "prostate-volume"),
        ("Observation", OID_OF["snomed"], "789279006", "clavien-dindo-grading"),
        ("Condition", OID_OF["snomed"], "314969001", "local-recurrence"),
        ("Condition", OID_OF["snomed"], "314994000", "metastasis"),
        ("Condition", UNKNOWN_OID, "C79.5", "metastasis"),
        ("Condition", UNKNOWN_OID, "C77.5", "nodal-recurrence"),
        ("Condition", UNKNOWN_OID, "c775", ""),
        ("Condition", UNKNOWN_OID, "C61", "prostate-cancer"),
        ("Condition", UNKNOWN_OID, "C18.7", "other-malignancy"),
        ("Condition", LOCAL, "C79.5", ""),
        ("MedicationRequest", OID_OF["rxnorm"], "1115257", "salvage-therapy"),
    ],
)
def test_a_known_code_under_another_name_of_its_system(kind, system, code, what):
    assert suggested(kind, "code", system, code) == what


@pytest.mark.parametrize(
    "element, system, code, what",
    [
        ("suspectEntity.causality", OID_OF["ncit"], "C53256", "causality-unrelated"),
        ("outcome", OID_OF["ncit"], "C48275", "outcome-fatal"),
    ],
)
def test_known_codes_of_adverse_events(element, system, code, what):
    assert suggested("AdverseEvent", element, system, code) == what


def test_the_remark_names_the_known_code_and_its_conditions():
    said = Description.of((), OID_OF["snomed"], "26782000")
    (found,) = SUGGESTER.suggestions("Procedure", "code", said)
    assert found.remark == (
        "it may be http://snomed.info/sct|26782000, which is mapped with some values of body_site"
    )
    said = Description.of((), OID_OF["snomed"], "438629002")
    (found, *_) = SUGGESTER.suggestions("Procedure", "code", said)
    assert found.kind == "brachytherapy"


@pytest.mark.parametrize(
    "kind, element, code, what",
    [
        ("Observation", "code", "314994000", "metastasis-finding"),
        ("Observation", "component", "314994000", "metastasis-finding"),
        ("Observation", "component", "314969001", "local-recurrence-finding"),
        ("Condition", "code", "385421009", "metastasis"),
        ("Procedure", "code", "314994000", ""),
    ],
)
def test_a_known_code_in_another_resource_type(kind, element, code, what):
    assert suggested(kind, element, SCT, code) == what


def test_a_code_of_the_right_system_in_the_right_place_is_no_candidate(tmp_path):
    result = surveyed(tmp_path, resource("Procedure", "a", concept(CPT, "55873")))
    assert row(result, "55873").mapped == {"cryoablation": 1}
    assert result.candidates == []


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    "kind, element, text, what",
    [
        ("Observation", "code", "M-Kategorie", "metastasis-finding"),
        ("Observation", "component", "Fernmetastasen", "metastasis-finding"),
        ("Observation", "component", "Lokalrezidiv", "local-recurrence-finding"),
        ("Observation", "code", "Lymphknoten Rezidiv", "nodal-recurrence-finding"),
        ("Observation", "code", "Recurrence of prostate cancer", "local-recurrence-finding"),
        ("Condition", "code", "Biochemical recurrence of prostate cancer", "prostate-cancer"),
        ("Observation", "component", "PSA", "psa"),
        ("Observation", "component", "IPSS", ""),
        ("Observation", "component", "Gleason score", ""),
        ("Observation", "code", "Gleason score", "gleason-score"),
        ("Observation", "code", "ISUP-Gradgruppe", "isup-grade-group"),
        ("Observation", "code", "Gleason grade group", "isup-grade-group"),
        ("Observation", "code", "cT", "clinical-t-category"),
        ("Observation", "code", "T-stadium", "clinical-t-category"),
        ("Observation", "code", "CT thorax", ""),
        ("Observation", "code", "Volume van de prostaat", "prostate-volume"),
        ("Observation", "code", "Urine volume after prostatectomy", ""),
        ("Observation", "code", "Doodsoorzaak", "cause-of-death"),
        ("Observation", "value", "ISUP 4", "isup-grade-group-value"),
        ("Observation", "value", "prostate cancer", "prostate-cancer"),
        ("Observation", "value", "metastatic prostate cancer", "prostate-cancer"),
        ("Observation", "value", "Onbekend", "cause-of-death-unspecified"),
        ("AdverseEvent", "suspectEntity.causality", "Geen verband", "causality-unrelated"),
        ("AdverseEvent", "outcome", "overleden", "outcome-fatal"),
        ("Procedure", "code", "Brachytherapie prostaat", "prostate-radiotherapy"),
        ("Procedure", "code", "Bestraling prostaat", "prostate-radiotherapy"),
        ("Procedure", "outcome", "mislukt", "procedure-unsuccessful"),
    ],
)
def test_words_in_the_places_of_version_2(kind, element, text, what):
    assert suggested(kind, element, "", "", text) == what


def test_the_words_know_every_concept_that_a_site_may_record_by_name():
    by_code_alone = {"psa-not-convertible"}
    assert set(load_words().concepts) == set(CONCEPTS) - by_code_alone


def test_the_systems_of_the_words_are_those_of_the_mappings():
    known = {system for system, _ in (*MAPPINGS.index.exact, *MAPPINGS.grades)}
    assert set(load_words().systems) <= known.union(MAPPINGS.index.prefix_lengths)


# ------------------------------------------------------------------ findings


def test_a_component_of_psa_counts_as_mapped(tmp_path):
    component = [{"code": concept("http://loinc.org", "2857-1"), "valueQuantity": {"value": 1}}]
    panel = resource("Observation", "a", concept(LOCAL, "PANEL"), component=component)
    result = surveyed(tmp_path, panel)
    assert row(result, "2857-1", "component").mapped == {"psa": 1}


@pytest.mark.slow
@pytest.mark.parametrize("part", [False, True], ids=["code", "component"])
@pytest.mark.parametrize(
    "value, what",
    [
        (concept(LOCAL, "F1", "Bone metastasis"), "metastasis-finding"),
        (concept(OID_OF["snomed"], "94222008"), "metastasis-finding"),
        ({"text": "Lokalrezidiv"}, "local-recurrence-finding"),
        (concept(LOCAL, "F2", "Progressive disease"), "progression-finding"),
        (concept(LOCAL, "F3", "No metastasis"), ""),
        (concept(LOCAL, "F4", "Prostatitis"), ""),
    ],
)
def test_an_unknown_code_whose_value_states_an_event(value, what, part, tmp_path):
    code = concept(LOCAL, "MRI")
    stated = {"code": code, "valueCodeableConcept": value}
    said = (
        resource("Observation", "a", concept(LOCAL, "X"), component=[stated])
        if part
        else resource("Observation", "a", **stated)
    )
    result = surveyed(tmp_path, said)
    found = row(result, "MRI", "component" if part else "code").candidate
    assert (found.of if found else "") == what
    if found:
        assert [one.resources for one in found.values] == [1]
        again = accepted(tmp_path, result)
        assert row(again, "MRI", "component" if part else "code").mapped == {what: 1}


def test_the_draft_of_a_finding_proposes_only_values_that_state_it(tmp_path):
    code = concept(LOCAL, "M", "M category")
    values = (concept(LOCAL, "0", "M0"), concept(LOCAL, "1", "M1"), concept(LOCAL, "X", "MX"))
    said = [
        resource("Observation", f"o{number}", code, valueCodeableConcept=value)
        for number, value in enumerate(values)
    ]
    result = surveyed(tmp_path, *said)
    draft = draft_overlay(result, MAPPINGS)
    assert f'#        value: [{{system: "{LOCAL}", code: "1"}}]' in draft
    for shown in ('0" "M0" (1)', '1" "M1" (1)', 'X" "MX" (1)'):
        assert shown in draft
    assert "M0" in "\n".join(survey_lines(result))


def test_without_such_a_value_the_draft_asks_for_it(tmp_path):
    value = concept(LOCAL, "K7", "Lever")
    said = resource(
        "Observation", "a", concept(LOCAL, "M", "Metastase"), valueCodeableConcept=value
    )
    draft = draft_overlay(surveyed(tmp_path, said), MAPPINGS)
    assert '#        value: [{text: "?"}]' in draft


# ------------------------------------------------------------------ the cancer with a recurrence


@pytest.mark.parametrize(
    "system, code",
    [
        ("http://hl7.org/fhir/sid/icd-10", "C61"),
        (SCT, "399068003"),
        (SCT, "254900004"),
        (OID_OF["icd-10-cm"], "C61"),
        (UNKNOWN_OID, "C61"),
        (OID_OF["snomed"], "399068003"),
    ],
)
@pytest.mark.parametrize("status, of", [("recurrence", "local-recurrence"), ("active", "")])
def test_the_cancer_with_the_clinical_status_recurrence(system, code, status, of, tmp_path):
    clinical = concept("http://terminology.hl7.org/CodeSystem/condition-clinical", status)
    said = resource("Condition", "a", concept(system, code), clinicalStatus=clinical)
    result = surveyed(tmp_path, said)
    found = row(result, code).candidate
    if of:
        assert (found.of, found.status) == (of, [status])
        assert of in row(accepted(tmp_path, result), code).mapped
    else:
        assert found is None or found.of == "prostate-cancer"


# ------------------------------------------------------------------ grades


def test_grades_of_the_adverse_event_research_ig_are_read(tmp_path):
    url = "http://hl7.org/fhir/uv/ae-research-ig/StructureDefinition/ae-grade"
    ncit = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
    known = concept(ncit, "C41340", "Grade 3")
    other = concept(OID_OF["ncit"], "C41339", "Grade 2")
    result = surveyed(
        tmp_path,
        resource(
            "AdverseEvent",
            "a",
            {"text": "x"},
            extension=[{"url": url, "valueCodeableConcept": one} for one in (known, other)],
        ),
    )
    place = next(one for one in result.grades if one.place == f"extension {url}")
    assert place.read
    by_code = {one.code: one for one in place.values}
    assert (by_code["C41340"].scale, by_code["C41340"].grade) == ("ctcae-grade", "3")
    found = by_code["C41339"].candidate
    assert (found.of, found.grade) == ("ctcae-grade", "2")
    again = accepted(tmp_path, result)
    assert not again.candidates


def test_an_unknown_code_whose_values_are_grades_and_the_session_that_it_refers_to(tmp_path):
    refers = {"partOf": [{"reference": "Procedure/session"}], "focus": [{"reference": "Device/1"}]}
    graded = concept(SCT, "1367523008")
    result = surveyed(
        tmp_path,
        resource("Observation", "a", concept(LOCAL, "K1"), valueCodeableConcept=graded, **refers),
        resource("Observation", "b", concept(LOCAL, "K2"), valueCodeableConcept={"text": "IIIb"}),
    )
    found = row(result, "K1")
    assert found.candidate.of == "clavien-dindo-grading"
    assert [(one.element, one.name) for one in found.beside if one.element == "refers to"] == [
        ("refers to", "Procedure")
    ]
    assert "refers to 'Procedure' 1" in "\n".join(survey_lines(result))
    place = next(one for one in result.grades if one.place == f"Observation {LOCAL}|K1")
    assert (place.values[0].scale, place.values[0].grade) == ("clavien-dindo", "IIIb")
    assert row(result, "K2").candidate is None
    assert row(accepted(tmp_path, result), "K1").mapped == {"clavien-dindo-grading": 1}


def test_an_extension_is_a_place_of_grades_by_its_values(tmp_path):
    ncit = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
    url = "https://h.example/severity"
    coding = {"system": ncit, "code": "C41340"}
    other = {"url": "https://h.example/x", "valueString": "severe"}
    said = [{"url": url, "valueCoding": coding}, {"url": url, "valueString": "severe"}, other]
    result = surveyed(tmp_path, resource("AdverseEvent", "a", {"text": "x"}, extension=said))
    places = {one.place: one.candidate for one in result.grades}
    assert places[f"extension {url}"].of == "ctcae-grade"
    assert places["extension https://h.example/x"] is None
    again = accepted(tmp_path, result)
    assert next(one for one in again.grades if one.place == f"extension {url}").read


def test_two_spellings_of_one_code_are_drafted_once(tmp_path):
    clinical = concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "recurrence")
    icd = "http://hl7.org/fhir/sid/icd-10"
    result = surveyed(
        tmp_path,
        resource("Condition", "a", concept(icd, "C61"), clinicalStatus=clinical),
        resource("Condition", "b", concept(icd, "c61"), clinicalStatus=clinical),
    )
    again = accepted(tmp_path, result)
    assert "local-recurrence" in row(again, "c61").mapped


def test_a_suffix_does_not_hide_a_grade(tmp_path):
    said = resource("AdverseEvent", "a", {"text": "x"}, severity={"text": "Clavien-Dindo IIIb-d"})
    result = surveyed(tmp_path, said)
    place = next(one for one in result.grades if one.place == "AdverseEvent severity")
    (value,) = place.values
    assert (value.candidate.of, value.candidate.grade) == ("clavien-dindo", "IIIb")


# ------------------------------------------------------------------ adverse events


def test_assessments_and_outcomes_of_adverse_events_are_listed(tmp_path):
    assessed = [{"assessment": {"text": "Geen verband"}}, {"assessment": {"text": "Zeker"}}]
    said = resource(
        "AdverseEvent",
        "a",
        {"text": "x"},
        outcome=concept(LOCAL, "D", "Overleden"),
        suspectEntity=[{"instance": {"reference": "Procedure/1"}, "causality": assessed}],
    )
    result = surveyed(tmp_path, said)
    assert row(result, "D", "outcome").candidate.of == "outcome-fatal"
    assert row(result, "Geen verband", "suspectEntity.causality").candidate.of == (
        "causality-unrelated"
    )
    assert not [one for one in result.codes if one.text == "Zeker"]
    assert not accepted(tmp_path, result).candidates
