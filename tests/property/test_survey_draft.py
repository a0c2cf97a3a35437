"""Whatever texts a source contains: its survey's draft has no effect, and proposes only codes."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fhircryo.extract.context import Context
from fhircryo.fhir.dates import DateReader
from fhircryo.mapping.concepts import CONCEPTS, KINDS_OF, STATUSES_OF
from fhircryo.mapping.load import load_mappings
from fhircryo.setup.survey.classify import classify
from fhircryo.setup.survey.count_resources import ResourceCounter
from fhircryo.setup.survey.overlay_draft import draft_overlay
from fhircryo.setup.survey.run_survey import count_lines
from fhircryo.setup.survey.suggestions import Suggester
from fhircryo.setup.survey.survey_json import Survey
from fhircryo.setup.survey.survey_text import survey_lines

MAPPINGS = load_mappings()
SUGGESTER = Suggester(MAPPINGS)
INJECTED = (
    "\nconcepts:\n  psa:\n    codes:\n"
    '      - {system: "http://h.example/lab", code: FREE-PSA, verified: "laboratory manual"}\n##'
)
NASTY = (
    *("\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x00", "\x1b[2J"),
    *("#", " #", "##", '"', "'", "\\", "\\n", "&a", "*a", "!!python/object:x", "!x", "%", "@", "`"),
    *("---", "...", ": ", "- ", "? ", "{", "}", "[", "]", ",", "|", ">", "<<", "=", "~", "null"),
    *("\u202e", "\u2066", "\ufeff", "\u200b", "\xa0", "\U000e0001", "\ufffe", " ", "\t", "\t#"),
    INJECTED,
)
#: Each makes a text a candidate, so that it gets into the draft.
CANDIDATES = (
    *("PSA", "Clavien-Dindo 3b", "Kryoablation Prostata", "Knochenmetastasen", "CTCAE grade 2"),
    *("IPSS", "shim", "complication", "bestraling prostaat", "ISUP grade group", "degarelix"),
    *("ng/mL (x)", "M category", ""),
)


@st.composite
def hostile(draw) -> str:
    parts = [draw(st.sampled_from(CANDIDATES))]
    parts += draw(st.lists(st.sampled_from(NASTY) | st.text(max_size=8), max_size=4))
    return "".join(draw(st.permutations(parts)))


def resource(kind: str, name: str, code: Any, key: str = "code", **more: Any) -> dict[str, Any]:
    own = {"resourceType": kind, "id": name, "subject": {"reference": "Patient/p1"}}
    return {**own, key: code, **more}


def everywhere(texts: list[str]) -> list[dict[str, Any]]:
    """Resources that hold the texts in every element that a survey shows or drafts."""
    code, system, display, text, unit, value, url, canonical, link, other = texts
    coding = {"system": system, "code": code, "display": display}
    psa = {
        "coding": [{"system": "http://h.example/lab", "code": code, "display": f"PSA {display}"}]
    }
    concept = {"coding": [coding], "text": text}
    named = {"coding": [{**coding, "system": "http://h.example/x"}]}
    grade = {"coding": [{**coding, "display": "Clavien-Dindo 3b"}]}
    observations = (
        resource("Observation", "a", psa, valueQuantity={"value": 1, "unit": unit}),
        resource("Observation", "b", psa, specimen={"display": other}),
        resource("Observation", "c", {"text": text}, valueString=f"1 {unit}"),
        resource("Observation", "d", concept, valueCodeableConcept={"coding": [coding]}),
        resource("Observation", "e", {"text": "M category"}, valueCodeableConcept=named),
        resource("Observation", "f", {"text": f"Clavien {other}"}, valueString=value),
        resource("Observation", "g", {"coding": [{"code": code}]}, component=[{"code": named}]),
    )
    extension = [{"url": url, "valueString": value}, {"url": url, "valueCoding": coding}]
    extension.append({"url": f"http://x/clavien-dindo{url}", "valueString": "Clavien-Dindo IIIa"})
    items = [{"linkId": f"shim_q{n}{link}", "answer": [{"valueInteger": 1}]} for n in range(1, 6)]
    form = {"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed"}
    return [
        *observations,
        resource("Procedure", "h", concept, status=other, bodySite=[{"text": other}]),
        resource("Procedure", "i", {"text": f"Kryoablation Prostata {text}"}),
        resource("Condition", "j", {"coding": [{**coding, "display": f"metastasis {display}"}]}),
        resource("AdverseEvent", "k", concept, "event", severity=grade, extension=extension),
        resource(
            "MedicationRequest", "l", {"text": f"degarelix {text}"}, "medicationCodeableConcept"
        ),
        {**form, "questionnaire": canonical, "item": items},
        {**form, "id": "r", "item": items},
    ]


def surveyed(sources: list[dict[str, Any]]) -> Survey:
    counter = ResourceCounter(Context(MAPPINGS, DateReader(None)), SUGGESTER)
    assert count_lines([json.dumps(source).encode() for source in sources], counter) == 0
    return classify(counter.counts, MAPPINGS, SUGGESTER, "export")


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from (*strings(key), *strings(value))
    elif isinstance(node, list):
        for one in node:
            yield from strings(one)
    elif isinstance(node, str):
        yield node


#: The words that a draft may contain besides the texts of the source.
OWN = frozenset(
    {
        *("concepts", "units", "grades", "instruments", "codes", "texts", "psa", "factors"),
        *("scales", "extensions", "items", "link_ids", "canonicals", "signatures", "domains"),
        *("observations", "system", "code", "display", "text", "grade", "value", "kind", "status"),
        *("verified", "", "?", *CONCEPTS, *MAPPINGS.merged.questionnaires.by_key),
        *(one.key for one in MAPPINGS.instruments),
        *(name for names in STATUSES_OF.values() for name in names),
        *(name for names in KINDS_OF.values() for name in names),
        *MAPPINGS.scales,
        *(grade for scale in MAPPINGS.scales.values() for grade in scale.order),
        *(
            item.key
            for form in MAPPINGS.merged.questionnaires.by_key.values()
            for item in form.questionnaire.items
        ),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(hostile(), min_size=10, max_size=10))
@example([f"{CANDIDATES[number]}{INJECTED}" for number in range(10)])
@example([f"PSA{nasty}" for nasty in NASTY[:10]])
@example([f"{nasty}PSA" for nasty in NASTY[10:20]])
def test_a_draft_has_no_effect_and_proposes_only_what_is_in_the_source(texts):
    sources = everywhere(texts)
    draft = draft_overlay(surveyed(sources), MAPPINGS)
    assert yaml.safe_load(draft) is None
    assert all(line.startswith("#") or not line for line in draft.splitlines())
    proposed = re.sub(r"^#(?!#)", "", draft, flags=re.MULTILINE)
    loaded = yaml.safe_load(proposed)
    in_source = set(strings(sources))
    in_source |= {" ".join(one.split()) for one in in_source} | {one.strip() for one in in_source}
    in_source |= {one.split("|", 1)[0] for one in in_source}
    assert {one for one in strings(loaded) if one not in OWN} <= in_source
    if loaded:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "site.yaml"
            path.write_text(proposed.replace('verified: ""', 'verified: "asked"'), "utf-8")
            load_mappings([path])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(hostile(), min_size=10, max_size=10))
def test_what_is_printed_of_a_source_is_printable(texts):
    assert all(line.isprintable() for line in survey_lines(surveyed(everywhere(texts))))
