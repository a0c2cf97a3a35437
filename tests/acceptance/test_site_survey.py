"""From a survey to an overlay: an unknown export's draft, completed, gives what is expected."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from fhircryo.mapping.load import load_mappings
from fhircryo.mapping.normalise import folded
from fhircryo.runs.in_memory import compute_resources
from fhircryo.settings import Settings
from fhircryo.setup.expectations.case import Case
from fhircryo.setup.expectations.case_file import CaseFile, read_cases
from fhircryo.setup.expectations.run_cases import Mismatch, runner_of
from fhircryo.setup.survey.overlay_draft import draft_overlay
from fhircryo.setup.survey.run_survey import survey
from fhircryo.setup.survey.survey_json import Survey

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "site-overlay"
EXPORT = FOLDER / "export"
AS_OF = date(2020, 12, 31)
OVERLAY: dict[str, Any] = yaml.safe_load((FOLDER / "site.yaml").read_text("utf-8"))

#: The whole men of the export, worked out by hand.
OF_EXPORT = [
    case for case in read_cases(FOLDER / "cases.yaml", CaseFile[Case]).content.cases if case.source
]

#: What a person adds to the draft, who has asked: after the line, the lines.
ANSWERED = {
    'code: "5-602.K"': "        body_site: [{text: prostata}]",
    'display: "PSA gesamt"': "        specimen: [{text: serum}]\n        unit: ng/mL",
}
#: The overlay maps blocks of ICD-10-GM, of which the export holds C79.5 alone.
NOT_IN_EXPORT = frozenset({"C77", "C78"})
SCORES = ", ".join(f"{{code: r{number}, score: {number}}}" for number in range(1, 6))


def surveyed(source: Path, *overlays: Path) -> Survey:
    return survey(str(source), Settings.model_construct(mappings=overlays), 1)


def completed(draft: str) -> str:
    """The draft, taken over whole, verified, and with what only a person knows."""
    text = re.sub(r"^#(?!#)", "", draft, flags=re.MULTILINE)
    text = text.replace('verified: ""', 'verified: "asked"')
    for line, more in ANSWERED.items():
        text = re.sub(rf"^(.*{re.escape(line)})$", rf"\1\n{more}", text, flags=re.MULTILINE)
    text = re.sub(r'(link_ids: \["shim_q.*"\])', rf"\1, answers: [{SCORES}]", text)
    return f"{text}protocol: {{psa: {{detection_limit: half}}}}\n"


def mismatches(overlay: Path) -> list[tuple[Mismatch, ...]]:
    runner = runner_of(Settings.model_construct(mappings=(overlay,)), FOLDER)
    return [runner.check(case).mismatches for case in OF_EXPORT]


@pytest.fixture(scope="module")
def unknown() -> Survey:
    return surveyed(EXPORT)


@pytest.fixture(scope="module")
def overlay(unknown, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("draft") / "site.yaml"
    path.write_text(completed(draft_overlay(unknown, load_mappings())), "utf-8")
    return path


def lines() -> list[bytes]:
    files = sorted(EXPORT.glob("*.ndjson"))
    return [line for path in files for line in path.read_bytes().splitlines()]


# ------------------------------------------------------------------ what the overlay maps is listed


def codes() -> list[tuple[str, str, str]]:
    return [
        (concept, code["system"], code["code"])
        for concept, said in OVERLAY["concepts"].items()
        for code in said.get("codes", ())
    ]


@pytest.mark.parametrize("concept, system, code", codes())
def test_each_code_of_the_overlay_is_a_candidate(concept, system, code, unknown):
    there = [row for row in unknown.codes if row.system == system and row.code.startswith(code)]
    if code in NOT_IN_EXPORT:
        assert not there
    else:
        assert {row.candidate.of for row in there if row.candidate} == {concept}


def test_each_text_of_the_overlay_is_a_candidate(unknown):
    texts = {folded(row.text) for row in unknown.codes if row.candidate is not None and row.text}
    (wanted,) = OVERLAY["concepts"]["cryoablation"]["texts"]
    assert folded(wanted["text"]) in texts


def test_each_unit_of_the_overlay_is_told_to_be_unknown(unknown):
    unknown_units = {
        one.unit for row in unknown.codes for one in row.results if one.known is False and one.unit
    }
    assert unknown_units == set(OVERLAY["units"]["psa"]["factors"])


def test_each_grade_of_the_overlay_is_a_candidate(unknown):
    values = {
        (one.code or one.text, one.candidate.of, one.candidate.grade)
        for place in unknown.grades
        for one in place.values
        if one.candidate is not None
    }
    assert values == {
        ("CD-1", "clavien-dindo", "I"),
        ("CTCAE graad 3", "ctcae-grade", "3"),
    }
    extensions = {one.place for one in unknown.grades if one.candidate is not None}
    wanted = OVERLAY["grades"]["scales"]["clavien-dindo"]["extensions"]
    assert extensions == {f"extension {url}" for url in wanted}


def test_each_form_and_score_of_the_overlay_is_a_candidate(unknown):
    forms = {one.of: row for row in unknown.forms for one in row.candidates}
    assert set(forms) == {"iief-5", "qlq-c30-ql2"}
    for key, form in forms.items():
        fit = next(one for one in form.fits if one.questionnaire == key)
        wanted = {
            item: said["link_ids"][0] for item, said in OVERLAY["instruments"][key]["items"].items()
        }
        assert fit.items == wanted
    scores = {row.code for row in unknown.codes if row.candidate and row.candidate.of == "ipss"}
    assert scores == {"IPSS-S"}


# ------------------------------------------------------------------ the draft, completed


def test_all_are_in_the_cohort_and_the_endpoints_are_those_by_hand(overlay):
    assert not any(mismatches(overlay))


def test_without_the_answers_the_draft_is_not_enough(unknown, tmp_path):
    """What only a person knows makes a difference: a draft is no overlay."""
    text = re.sub(r"^#(?!#)", "", draft_overlay(unknown, load_mappings()), flags=re.MULTILINE)
    path = tmp_path / "site.yaml"
    path.write_text(text.replace('verified: ""', 'verified: "asked"'), "utf-8")
    outcome = compute_resources(lines(), AS_OF, mappings=load_mappings([path]))
    assert {one["subject"]["reference"] for one in outcome.observations} == {
        f"Patient/{case.subject}" for case in OF_EXPORT
    }
    assert any(mismatches(path))
