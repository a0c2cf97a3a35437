"""The survey: what it counts and suggests, what it shows of patients, and its draft overlay."""

import json
import os
import re
import stat
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from fhircryo.errors import UsageError
from fhircryo.mapping.concepts import CONCEPTS, SCALES
from fhircryo.mapping.load import load_mappings
from fhircryo.settings import Settings
from fhircryo.setup.survey.counts import MAX_TEXT_LENGTH, MIN_SHOWN, NOT_SHOWN, NumberSample
from fhircryo.setup.survey.draft_lines import quoted
from fhircryo.setup.survey.overlay_draft import draft_overlay
from fhircryo.setup.survey.run_survey import survey
from fhircryo.setup.survey.search_words import Description, load_words, plain
from fhircryo.setup.survey.suggestions import Suggester
from fhircryo.setup.survey.survey_json import CodeRow, Survey
from fhircryo.setup.survey.survey_text import survey_lines
from fhircryo.sources.resource_types import SURVEYED_TYPES
from fhircryo.storage.shipped_files import shipped
from tests.unit.hospital import Reply
from tests.unit.inputs import HTEST, cli, condition, folder, patient, procedure, psa
from tests.unit.stub_fhir import StubFhir

LOCAL = "https://h.example/local"
SUGGESTER = Suggester(load_mappings())


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Run in an empty folder, without settings from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FHIRCRYO_")]:
        monkeypatch.delenv(name)


def surveyed(tmp_path: Path, *resources: Any, overlay: str = "") -> Survey:
    source = folder(tmp_path / "in", {"all.ndjson": list(resources)})
    overlays = ()
    if overlay:
        (tmp_path / "site.yaml").write_text(overlay, "utf-8")
        overlays = (tmp_path / "site.yaml",)
    return survey(str(source), Settings(mappings=overlays), 1)


def coded(kind: str, name: str, code: Any, of: str = "p1", **more: Any) -> dict[str, Any]:
    concept = {"text": code} if isinstance(code, str) else {"coding": [code]}
    key = "event" if kind == "AdverseEvent" else "code"
    subject = {"reference": f"Patient/{of}"}
    return {"resourceType": kind, "id": name, key: concept, "subject": subject, **more}


def local(code: str, display: str = "") -> dict[str, str]:
    return {"system": LOCAL, "code": code} | ({"display": display} if display else {})


def row(result: Survey, code: str, element: str = "code") -> CodeRow:
    (found,) = (
        one for one in result.codes if code in (one.code, one.text) and one.element == element
    )
    return found


def uncommented(draft: str) -> str:
    """Return the overlay of a person who accepts and verifies every candidate of the draft."""
    return re.sub(r"^#(?!#)", "", draft, flags=re.MULTILINE).replace(
        'verified: ""', 'verified: "A. Person"'
    )


# ------------------------------------------------------------------ words


def suggested(kind: str, text: str, system: str = "", code: str = "") -> str:
    found = SUGGESTER.suggestions(kind, "code", Description.of((text,), system, code))
    return found[0].name if found else ""


@pytest.mark.parametrize(
    "text, what",
    [
        ("PSA", "psa"),
        ("PSA01", "psa"),
        ("S-PSA totaal", "psa"),
        ("Prostate specific Ag [Mass/volume] in Serum or Plasma", "psa"),
        ("prostate-specific antigen", "psa"),
        ("Prostaatspecifiek antigeen", "psa"),
        ("Prostaat Specifiek Antigeen", "psa"),
        ("PROSTATASPEZIFISCHES ANTIGEN", "psa"),
        ("Antigène prostatique spécifique", "psa"),
        ("antigene prostatique", "psa"),
        ("free PSA", "psa-excluded"),
        ("PSA, vrij", "psa-excluded"),
        ("PSA frei", "psa-excluded"),
        ("PSA libre", "psa-excluded"),
        ("fPSA/tPSA ratio", "psa-excluded"),
        ("PSA im Urin", "psa-excluded"),
        ("PSA density", "psa-excluded"),
        ("Psalm", ""),
        ("Psammoma bodies", ""),
        ("PSMA-PET", ""),
        ("upsa", ""),
        ("Clavien-Dindo", "clavien-dindo-grading"),
        ("CTCAE-Grad", "ctcae-grading"),
        ("Komplikation", "complication-grading"),
        ("Postoperatieve complicatie", "complication-grading"),
        ("ICIQ-UI SF", "iciq-ui-sf"),
        ("IIEF-5", "iief-5"),
        ("SHIM score", "iief-5"),
        ("IPSS", "ipss"),
        ("I-PSS totaalscore", "ipss"),
        ("IPSS Lebensqualität", "ipss-qol"),
        ("EORTC QLQ-C30", ""),  # it has no total, so no Observation can hold it
        ("EQ-5D VAS", "eq-5d-vas"),
        ("Shimmer", ""),
        ("Sodium", ""),
    ],
)
def test_words_of_observations(text, what):
    assert suggested("Observation", text) == what


@pytest.mark.parametrize(
    "kind, text, what",
    [
        ("Procedure", "Kryoablation der Prostata", "cryoablation"),
        ("Procedure", "Cryoablatie", "cryoablation"),
        ("Procedure", "Cryothérapie de la prostate", "cryoablation"),
        ("Procedure", "Kryokonservierung von Spermien", ""),
        ("Procedure", "Cryopreservation of tissue", ""),
        ("Procedure", "PSA", ""),
        ("Condition", "Knochenmetastasen", "metastasis"),
        ("Condition", "Métastases osseuses", "metastasis"),
        ("Condition", "Uitzaaiingen in het bot", "metastasis"),
        ("Condition", "Kein Hinweis auf Metastasen", ""),
        ("Condition", "Lokaal recidief", "local-recurrence"),
        ("Condition", "Prostatakarzinom-Rezidiv", "local-recurrence"),
        ("Condition", "Rezidiv eines Prostatakarzinoms", "local-recurrence"),
        ("Condition", "Récidive locale", "local-recurrence"),
        ("Condition", "Recurrent urinary tract infection", ""),
        ("Condition", "PsA", ""),
    ],
)
def test_words_of_other_types(kind, text, what):
    assert suggested(kind, text) == what


def test_a_code_without_a_name_is_suggested_by_its_code_system():
    icd = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
    assert suggested("Condition", "", icd, "C79.5") == "metastasis"
    assert suggested("Condition", "", LOCAL, "C79.5") == ""
    assert suggested("Condition", "", icd, "C80.9") == ""


def test_a_pattern_does_not_match_across_two_names():
    assert SUGGESTER.suggestions("Observation", "code", Description.of(("IPSS", "EQ", "5"))) != []
    said = Description.of(("prostate", "specific antigen"))
    assert SUGGESTER.suggestions("Observation", "code", said) == []


@pytest.mark.parametrize(
    "text, scale, grade",
    [
        ("Clavien-Dindo 3b", "clavien-dindo", "IIIb"),
        ("Clavien Dindo Grad IIIb", "clavien-dindo", "IIIb"),
        ("CD-1", "clavien-dindo", "I"),
        ("CTCAE graad 3", "ctcae-grade", "3"),
        ("CTCAE v5 grade 2", "ctcae-grade", ""),
        ("SIR B", "sir-2003", "B"),
        ("Clavien-Dindo 3b oder 4a", "clavien-dindo", ""),
        ("moderate", "", ""),
        ("Sir John", "sir-2003", ""),
    ],
)
def test_texts_of_grades(text, scale, grade):
    assert SUGGESTER.scale(text) == scale
    assert (SUGGESTER.grade(text, scale) if scale else "") == grade


def test_plain_words():
    assert plain("  Antigène-PROSTATIQUE,IIEF5 ") == "antigene prostatique iief 5"


def test_the_search_words_name_only_known_concepts_scales_and_statuses():
    words = load_words()
    assert set(words.concepts) <= set(CONCEPTS)
    assert set(words.scales) == SCALES
    for scale in words.scales:
        order = load_mappings().scales[scale].order
        assert set(words.scales[scale].spellings) <= set(order)
    known = {one.key for one in load_mappings().instruments} | {"epic-26"}
    assert set(words.instruments) <= known
    statuses = {
        status
        for listed in words.concepts.values()
        for rule in listed.rules
        for status in rule.status
    }
    assert statuses <= {"recurrence", "relapse"}


def test_a_misspelt_concept_in_the_words_is_an_error(tmp_path, monkeypatch):
    content = yaml.safe_load((shipped("mappings") / "words.yaml").read_text("utf-8"))
    content["words"]["concepts"]["psaa"] = {"rules": []}
    (tmp_path / "words.yaml").write_text(yaml.safe_dump(content), "utf-8")
    monkeypatch.setattr("fhircryo.setup.survey.search_words.shipped", lambda _: tmp_path)
    with pytest.raises(UsageError, match=r"psaa is not known here; did you mean psa\?"):
        load_words()


# ------------------------------------------------------------------ what is counted


def test_codes_are_counted_with_patients_and_years(tmp_path):
    result = surveyed(
        tmp_path,
        coded("Observation", "a", local("X", "Sodium"), effectiveDateTime="2016-03-01"),
        coded("Observation", "b", local("X", "Sodium"), effectiveDateTime="2018"),
        coded("Observation", "c", local("X"), of="p2", effectivePeriod={"start": "2017-01-01"}),
        coded("Observation", "d", local("Y"), effectiveDateTime="soon"),
    )
    found = row(result, "X")
    assert (found.resources, found.patients, found.years) == (3, 2, ["2016", "2018"])
    assert (found.display, found.candidate, found.mapped) == ("Sodium", None, {})
    assert row(result, "Y").years == []
    assert result.types == {"Observation": 4}


def test_a_mapped_code_states_its_concept(tmp_path):
    result = surveyed(tmp_path, procedure(), psa("a", "2016-03-01", 1), condition("m", None))
    assert row(result, "2857-1").mapped == {"psa": 1}
    assert row(result, "2857-1").candidate is None
    assert not result.candidates


def test_a_code_beside_one_that_is_mapped_is_no_candidate(tmp_path):
    both = [{"system": "http://loinc.org", "code": "2857-1"}, local("PSA")]
    one = coded("Observation", "a", "x") | {"code": {"coding": both}}
    result = surveyed(tmp_path, one)
    assert row(result, "PSA").candidate is None
    assert row(result, "PSA").by_other == 1
    alone = coded("Observation", "b", local("PSA"))
    again = surveyed(tmp_path, one, alone)
    assert row(again, "PSA").candidate.of == "psa"


@pytest.mark.slow
def test_a_code_under_conditions_is_shown_but_not_drafted(tmp_path):
    cryo = {"system": "http://snomed.info/sct", "code": "26782000", "display": "Cryotherapy"}
    result = surveyed(tmp_path, coded("Procedure", "a", cryo, bodySite=[{"text": "Leber"}]))
    found = row(result, "26782000")
    assert (found.in_part, found.candidate) == (True, None)
    assert [(one.element, one.text) for one in found.beside] == [("body_site", "leber")]
    assert "26782000" not in draft_overlay(result, load_mappings())


def test_a_cancer_is_a_recurrence_only_with_a_clinical_status_of_recurrence(tmp_path):
    def cancer(name: str, status: str) -> dict[str, Any]:
        clinical = {"coding": [{"code": status}]}
        code = local("PCA", "Prostaatcarcinoom")
        return coded("Condition", name, code, clinicalStatus=clinical)

    assert row(surveyed(tmp_path, cancer("a", "active")), "PCA").candidate.of == "prostate-cancer"
    result = surveyed(tmp_path, cancer("a", "active"), cancer("b", "relapse"))
    found = row(result, "PCA").candidate
    assert (found.of, found.status) == ("local-recurrence", ["relapse"])
    assert "status: [relapse]" in draft_overlay(result, load_mappings())


def test_units_are_shown_with_the_quartiles_of_their_values(tmp_path):
    def results(unit: str, factor: int) -> Iterable[Any]:
        for number in range(1, 10):
            value = {"value": number * factor, "unit": unit}
            name = f"{number}-{factor}"
            yield coded("Observation", name, local("PSA"), f"p{number}", valueQuantity=value)

    result = surveyed(tmp_path, *results("ng/mL", 1), *results("nmol", 1000))
    first, second = row(result, "PSA").results
    assert (first.unit, first.known, first.results) == ("ng/mL", True, 9)
    assert (second.unit, second.known) == ("nmol", False)
    assert first.quartiles == [3, 5, 7]
    assert second.quartiles == [3000, 5000, 7000]
    assert "numbers in 'nmol' (unit not known): 9, quartiles 3000 5000 7000" in " ".join(
        line.strip() for line in survey_lines(result)
    )


def test_numbers_stay_exact(tmp_path):
    texts = [f"0.{number}000000000000000000000001" for number in range(1, 6)]
    many = [
        coded("Observation", f"o{number}", local("PSA"), f"p{number}", valueQuantity={"value": "@"})
        for number in range(5)
    ]
    lines = [json.dumps(one).replace('"@"', text) for one, text in zip(many, texts, strict=True)]
    result = surveyed(tmp_path, *lines)
    assert texts[2].encode() in result.as_json()
    assert str(row(result, "PSA").results[0].quartiles[1]) == texts[2]


def test_results_are_distinguished_by_how_they_are_recorded(tmp_path):
    def said(name: str, **value: Any) -> Any:
        return coded("Observation", name, local("PSA"), **value)

    result = surveyed(
        tmp_path,
        said("a", valueString="<0,1 ng/mL"),
        said("b", valueString="see letter"),
        said("c", valueInteger=4),
        said("d", valueCodeableConcept={"text": "x"}),
        said("e", dataAbsentReason={"text": "x"}),
        said("f"),
    )
    found = {(one.how, one.unit, one.known) for one in row(result, "PSA").results}
    assert found == {
        ("numbers as text", "ng/mL", True),
        ("texts", "", None),
        ("whole numbers", "", None),
        ("coded", "", None),
        ("absent", "", None),
        ("without value", "", None),
    }


def test_own_output_and_test_data_are_set_aside(tmp_path):
    own = {"identifier": [{"system": "https://w3id.org/fhircryo/endpoint", "value": "e1"}]}
    result = surveyed(
        tmp_path,
        coded("Observation", "a", local("PSA"), **own),
        coded("Observation", "b", local("PSA"), meta=HTEST),
    )
    assert result.codes == []
    assert result.set_aside == {"own output": 1, "test data": 1}


def test_patients_who_objected_are_left_out_and_skipped_files_are_listed(tmp_path):
    resources = [coded("Observation", f"o-{of}", local("PSA"), of) for of in ("p1", "p2", "p3")]
    source = folder(tmp_path / "in", {"x.ndjson": resources, "letters.pdf": b"x"})
    (tmp_path / "objected.txt").write_text("p2\n", "utf-8")
    arguments = ("--exclude", "objected.txt", "--out", "s.json")
    done = cli("mappings", "survey", source, *arguments)
    assert done.code == 0, done.err
    (found,) = json.loads((tmp_path / "s.json").read_text("utf-8"))["codes"]
    assert (found["resources"], found["patients"]) == (2, 2)
    assert "not surveyed: 1 (of patients who objected)" in done.out
    assert "not read: letters.pdf" in done.out


def test_what_cannot_be_read_is_counted_and_ends_with_4(tmp_path):
    files = {
        "Observation.ndjson": b'{"resourceType": "Obs\n' + b"{}\n",
        "b.ndjson.gz": b"no gzip",
        "c.ndjson": [psa("a", "2016-03-01", 1)],
    }
    done = cli("mappings", "survey", folder(tmp_path / "in", files))
    assert done.code == 4
    assert "UNREADABLE: 3" in done.err
    assert "  UNREADABLE: Observation.ndjson: 2 lines or resources\n" in done.out
    assert "  UNREADABLE: b.ndjson.gz: the gzip file is damaged" in done.out
    assert "c.ndjson" not in done.out


class RefusesSearches(StubFhir):
    """Has a CapabilityStatement, and answers no search but those of some types."""

    def __init__(self, status: int, *answered: str) -> None:
        super().__init__(psa("a", "2016-03-01", 1))
        self.status, self.answered = status, answered

    def _search(self, kind: str, query: dict[str, str]) -> Reply:
        if kind in self.answered:
            return super()._search(kind, query)
        return Reply(self.status, {"resourceType": "OperationOutcome"})


@pytest.mark.parametrize("status", [403, 503])
def test_a_server_that_refuses_every_search_is_not_surveyed(status, tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "0")
    with RefusesSearches(status) as server:
        done = cli("mappings", "survey", server.base, "--out", tmp_path / "survey.json")
    assert done.code == 3
    assert "every search was refused" in done.err
    assert str(status) in done.err
    assert not (tmp_path / "survey.json").exists()
    with RefusesSearches(status, "Observation") as server:
        done = cli("mappings", "survey", server.base)
    assert done.code == 0
    assert "refused: Patient" in done.out or "refused: Procedure" in done.out


def test_medications_of_r5_are_counted_as_those_of_r4(tmp_path):
    drug = {"coding": [{"system": LOCAL, "code": "lp", "display": "Leuprorelin"}]}
    subject = {"reference": "Patient/p1"}
    given = {"resourceType": "MedicationAdministration", "status": "completed", "subject": subject}
    r4 = given | {"id": "a", "medicationCodeableConcept": drug, "effectiveDateTime": "2016-03-01"}
    r5 = given | {"id": "a", "medication": {"concept": drug}, "occurenceDateTime": "2016-03-01"}
    one, other = (surveyed(tmp_path / name, made) for name, made in (("4", r4), ("5", r5)))
    assert [(row.code, row.years) for row in one.codes] == [("lp", ["2016", "2016"])]
    assert one.codes == other.codes


def test_every_surveyed_type_is_one_that_is_read():
    from fhircryo.fhir.wire import DECODERS

    assert set(SURVEYED_TYPES) <= set(DECODERS)
    for kind, way in SURVEYED_TYPES.items():
        fields = DECODERS[kind].type.__struct_fields__
        assert {*way.code_elements, *way.date_elements} <= set(fields)


# ------------------------------------------------------------------ grades


def test_places_of_grades(tmp_path):
    result = surveyed(
        tmp_path,
        coded(
            "AdverseEvent",
            "a",
            "Bleeding",
            severity={"coding": [local("CD-3b", "Clavien-Dindo 3b")]},
            seriousness={"text": "Non-serious"},
            extension=[{"url": "https://h.example/clavien-grade", "valueString": "IIIb"}],
        ),
        coded(
            "Observation",
            "b",
            local("K", "Complication"),
            component=[{"code": {"coding": [local("CD")]}, "valueString": "II"}],
        ),
        coded("AdverseEvent", "c", "CTCAE v5, grade unclear"),
    )
    places = {place.place: place for place in result.grades}
    (value,) = places["AdverseEvent severity"].values[:1]
    assert (value.candidate.of, value.candidate.grade) == ("clavien-dindo", "IIIb")
    assert places["AdverseEvent seriousness"].others == 1
    extension = places["extension https://h.example/clavien-grade"]
    assert (extension.read, extension.candidate.of) == (False, "clavien-dindo")
    assert places[f"component {LOCAL}|CD"].values[0].grade == "II"
    assert row(result, "CD", "component").candidate.of == "clavien-dindo-grading"
    (unclear,) = places["AdverseEvent event"].values
    assert unclear.candidate.grade == ""
    load_text(tmp_path, uncommented(draft_overlay(result, load_mappings())))


def load_text(tmp_path: Path, text: str) -> Any:
    (tmp_path / "drafted.yaml").write_text(text, "utf-8")
    return load_mappings([tmp_path / "drafted.yaml"])


# ------------------------------------------------------------------ forms


def form(name: str, canonical: str | None, answers: dict[str, Any], of: str = "p1") -> Any:
    items = [
        {"linkId": link, "answer": [value] if value else []} for link, value in answers.items()
    ]
    made = {
        "resourceType": "QuestionnaireResponse",
        "id": name,
        "subject": {"reference": f"Patient/{of}"},
        "authored": "2018-01-01",
        "item": [{"linkId": "page", "item": items}],
    }
    return made | ({"questionnaire": canonical} if canonical else {})


def integers(**answers: int) -> dict[str, Any]:
    return {link.replace("_", "-"): {"valueInteger": value} for link, value in answers.items()}


def test_a_form_that_fits(tmp_path):
    answers = integers(shim_q1=1, shim_q2=2, shim_q3=3, shim_q4=4, shim_q5=9)
    result = surveyed(tmp_path, form("a", f"{LOCAL}/shim|2", answers))
    (found,) = result.forms
    assert (found.canonical, found.known_as) == (f"{LOCAL}/shim", [])
    fit = next(one for one in found.fits if one.questionnaire == "iief-5")
    assert (len(fit.items), fit.needed, fit.allowed, fit.other) == (5, 5, 4, 1)
    assert fit.items["q2"] == "shim-q2"
    assert "iief-5" in {one.of for one in found.candidates}


def test_a_form_that_fits_by_its_linkids_alone_has_a_remark(tmp_path):
    result = surveyed(tmp_path, form("a", None, integers(v_29=5, v_30=6)))
    (found,) = result.forms
    assert [one.of for one in found.candidates] == ["qlq-c30-ql2"]
    assert "may be another form" in found.candidates[0].remark
    other = surveyed(tmp_path, form("a", None, integers(v_29=5, v_30=99)))
    assert other.forms[0].candidates == []


def test_responses_without_canonical_are_distinguished_by_their_linkids(tmp_path):
    result = surveyed(
        tmp_path,
        form("a", None, integers(a=1, b=2)),
        form("b", None, integers(a=1)),
        form("c", None, integers(c=1)),
    )
    assert [(one.responses, len(one.links)) for one in result.forms] == [(2, 2), (1, 1)]


def test_a_known_form_names_its_instrument(tmp_path):
    canonical = "https://w3id.org/fhircryo/Questionnaire/iief-5"
    result = surveyed(tmp_path, form("a", canonical, integers(q1=1, q2=2)))
    assert result.forms[0].known_as == ["iief-5"]
    assert not result.candidates


def test_ranges_of_answers_need_several_patients(tmp_path):
    few = [form(f"f{n}", LOCAL, integers(a=n), of=f"p{n % (MIN_SHOWN - 1)}") for n in range(10)]
    assert surveyed(tmp_path, *few).forms[0].links[0].numbers == []
    many = [form(f"f{n}", LOCAL, integers(a=n), of=f"p{n}") for n in range(10)]
    assert surveyed(tmp_path, *many).forms[0].links[0].numbers == [0, 9]
    weights = [form(f"f{n}", LOCAL, integers(a=n), of=f"p{n}") for n in range(30)]
    assert surveyed(tmp_path, *weights).forms[0].links[0].numbers == []


# ------------------------------------------------------------------ what is shown of patients


def test_texts_of_few_patients_are_not_shown(tmp_path):
    secret = "Letter about Mr Example"
    one = [coded("Condition", "a", secret)]
    result = surveyed(tmp_path, *one)
    everything = result.as_json().decode() + "\n".join(survey_lines(result))
    everything += draft_overlay(result, load_mappings())
    assert secret not in everything
    assert result.hidden_texts == {"Condition": 1}
    many = [coded("Condition", f"c{n}", "Gout", of=f"p{n}") for n in range(MIN_SHOWN)]
    assert row(surveyed(tmp_path, *many), "Gout").patients == MIN_SHOWN


def test_long_texts_are_never_shown(tmp_path):
    long = "Metastasis, as told to Mr Example " + "x" * MAX_TEXT_LENGTH
    many = [coded("Condition", f"c{n}", long, of=f"p{n}") for n in range(MIN_SHOWN)]
    result = surveyed(tmp_path, *many)
    assert b"Example" not in result.as_json()
    assert row(result, "(a longer text)").resources == MIN_SHOWN


def test_the_text_after_a_number_is_shown_only_if_it_is_a_unit(tmp_path):
    def said(name: str, text: str, of: str = "p1") -> Any:
        return coded("Observation", name, local("PSA"), of, valueString=text)

    few = [said("a", "4.2 see Mr Example"), said("b", "4.2 ng/mL"), said("c", "0,1 foo")]
    result = surveyed(tmp_path, *few, *(said(f"x{n}", "5 IE/l", f"p{n}") for n in range(MIN_SHOWN)))
    units = {one.unit: one.results for one in row(result, "PSA").results}
    assert units == {"IE/l": MIN_SHOWN, NOT_SHOWN: 2, "ng/mL": 1}
    assert NOT_SHOWN not in draft_overlay(result, load_mappings())
    assert '"IE/l": how many ng/mL is one of it' in draft_overlay(result, load_mappings())


def test_values_of_few_are_never_shown(tmp_path):
    # A number that no path and no version contains: a survey names its source.
    few = [
        coded("Observation", f"o{n}", local("PSA"), f"p{n % 4}", valueQuantity={"value": 777.123})
        for n in range(20)
    ]
    text = coded("Observation", "t", local("PSA"), valueString="777.123")
    result = surveyed(tmp_path, *few, text)
    assert b"777.123" not in result.as_json()
    more = coded("Observation", "x", local("PSA"), "p5", valueQuantity={"value": 777.123})
    assert b"777.123" in surveyed(tmp_path, *few, more).as_json()


def test_no_patient_and_no_resource_is_named(tmp_path):
    result = surveyed(tmp_path, patient("p-77"), psa("o-88", "2016-03-01", 1, of="p-77"))
    for text in (result.as_json().decode(), "\n".join(survey_lines(result))):
        assert "p-77" not in text
        assert "o-88" not in text


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    result = surveyed(tmp_path, coded("Observation", "a", local("P\u202eA", "PSA\x1b[31m\nred")))
    printed = list(survey_lines(result))
    assert all(map(str.isprintable, printed))
    assert f"  {LOCAL}|P\\u202eA" in "\n".join(printed)
    assert "'PSA\\x1b[31m\\nred'" in "\n".join(printed)
    draft = draft_overlay(result, load_mappings())
    assert "\x1b" not in draft
    load_text(tmp_path, uncommented(draft))


def test_lines_fit_100_columns(tmp_path):
    result = surveyed(
        tmp_path,
        coded("Observation", "a", {"system": LOCAL * 9, "code": "X", "display": "PSA " * 15}),
    )
    assert max(map(len, survey_lines(result))) <= 100


# ------------------------------------------------------------------ values


def test_very_many_values_are_sampled():
    values = NumberSample()
    for number in range(100_000):
        values.add(number, number % 7 + 1)
    assert values.count == 100_000
    low, middle, high = values.quartiles()
    assert abs(middle - 50_000) < 50
    assert abs(high - low - 50_000) < 50
    other = NumberSample()
    for number in range(10):
        other.add(number, 1)
    values.merge(other)
    assert values.count == 100_010


def test_values_of_an_impossible_magnitude_are_left_out():
    values = NumberSample()
    for patient_, number in enumerate([1, 2, 3, 4, 5, Decimal("1E+999999")], 1):
        values.add(number, patient_)
    assert values.count == 6
    assert values.quartiles() == (2, 3, 4)


# ------------------------------------------------------------------ the draft


@pytest.mark.parametrize(
    "text", ["a: b", "# x", "'", '"', "\\", "yes", "a\nb", "\x85", "\u2028", "\ufeff", "{x}", "ä"]
)
def test_a_text_of_the_source_is_quoted_exactly_in_yaml(text):
    assert yaml.safe_load(f"x: {quoted(text)}") == {"x": text}
    assert len(quoted(text).splitlines()) == 1


@pytest.mark.slow
def test_a_code_that_may_be_two_things_is_drafted_once(tmp_path):
    twice = local("C", "Clavien")
    result = surveyed(
        tmp_path,
        coded("Observation", "a", twice),
        coded("Observation", "b", local("Z"), component=[{"code": {"coding": [twice]}}]),
        coded("Observation", "c", {"code": "PSA"}),
    )
    draft = draft_overlay(result, load_mappings())
    assert draft.count('code: "C"') == 1
    assert "a code without a system cannot be mapped" in draft
    load_text(tmp_path, uncommented(draft))


def test_an_unedited_draft_has_no_effect(tmp_path):
    result = surveyed(tmp_path, coded("Observation", "a", local("PSA")))
    draft = draft_overlay(result, load_mappings())
    assert yaml.safe_load(draft) is None
    with pytest.raises(UsageError, match="the file is empty"):
        load_text(tmp_path, draft)
    unverified = re.sub(r"^#(?!#)", "", draft, flags=re.MULTILINE)
    with pytest.raises(UsageError, match=r"drafted\.yaml:\d+: concepts\.psa\.codes\.0\.verified"):
        load_text(tmp_path, unverified)


def test_nothing_to_draft(tmp_path):
    draft = draft_overlay(surveyed(tmp_path, procedure()), load_mappings())
    assert "There is no candidate that is not mapped" in draft
    assert yaml.safe_load(draft) is None


def test_files_are_private_complete_and_not_overwritten(tmp_path):
    source = folder(tmp_path / "in", {"x.ndjson": [coded("Observation", "a", local("PSA"))]})
    arguments = ("mappings", "survey", str(source), "--out", "s.json", "--draft", "site.yaml")
    done = cli(*arguments)
    assert done.code == 0, done.err
    for name in ("s.json", "site.yaml"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert json.loads((tmp_path / "s.json").read_text("utf-8"))["codes"][0]["code"] == "PSA"
    again = cli(*arguments)
    assert again.code == 2
    assert "--out s.json: the file exists; choose another name, or use --force" in again.err
    assert cli(*arguments, "--force").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "s.json", "site.yaml"]


def test_a_file_that_cannot_be_written_is_reported_without_traceback(tmp_path):
    source = folder(tmp_path / "in", {"x.ndjson": [procedure()]})
    done = cli("mappings", "survey", str(source), "--out", str(tmp_path / "no" / "s.json"))
    assert done.code == 5
    assert "cannot be written" in done.err
    assert "Traceback" not in done.err


def test_a_hostile_extension_url_stays_a_text(tmp_path):
    """A line break in it once ended the comment, so that what followed was a mapping."""
    url = (
        "http://x/clavien-dindo\nconcepts:\n  psa:\n    codes:\n"
        '      - {system: "http://h.example/lab", code: F-PSA, verified: "laboratory manual"}\n##'
    )
    extension = [{"url": url, "valueString": "Clavien-Dindo IIIa"}]
    source = folder(
        tmp_path / "in", {"x.ndjson": [coded("AdverseEvent", "a", "x", extension=extension)]}
    )
    done = cli("mappings", "survey", source, "--draft", "site.yaml")
    assert done.code == 0, done.err
    draft = (tmp_path / "site.yaml").read_text("utf-8")
    assert yaml.safe_load(draft) is None
    checked = cli("mappings", "check", "site.yaml")
    assert (checked.code, "the file is empty" in checked.err) == (2, True)
    proposed = yaml.safe_load(uncommented(draft))
    assert list(proposed) == ["grades"]
    assert proposed["grades"]["scales"]["clavien-dindo"]["extensions"] == [url]
