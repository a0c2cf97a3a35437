"""Questionnaire responses and recorded scores: weights, marks, contained forms, absurd numbers."""

from fractions import Fraction
from typing import Any

import pytest

from fhircryo.record.collector import RecordCollector
from fhircryo.record.items import NotUsed, Reason, Score
from tests.unit.extraction import LOINC, codings, extracted, retention
from tests.unit.inputs import BASE, Resource, lab, response

URL = "http://hl7.org/fhir/StructureDefinition"
ICIQ = f"{BASE}/Questionnaire/iciq-ui-sf"


def weight(name: str, value: Any) -> Resource:
    return {"extension": [{"url": f"{URL}/{name}", "valueDecimal": value}]}


def coded(**more: Any) -> Resource:
    return {"valueCoding": {"system": "https://x.example/a", "code": "a1", **more}}


def iciq(frequency: Resource, **more: Any) -> Score:
    answers = {"frequency": frequency, "amount": {"valueInteger": 2}}
    answers["interference"] = {"valueInteger": 3}
    item = [{"linkId": link, "answer": [answer]} for link, answer in answers.items()]
    own = {"questionnaire": ICIQ, "item": item, **more}
    (score,) = extracted(response("q", "2016-07-10", [], **own)).scores
    return score


@pytest.mark.parametrize("name", ["ordinalValue", "itemWeight"])
def test_the_number_of_a_coded_answer(name):
    assert iciq(coded(**weight(name, 1))).value == 6
    assert iciq({**coded(), **weight(name, 1)}).value == 6
    assert iciq({**coded(**weight("ordinalValue", 1)), **weight("itemWeight", 1)}).value == 6


def test_a_coded_answer_without_one_number():
    for answer in (
        coded(),
        coded(**weight("itemLikes", 1)),
        {**coded(**weight("ordinalValue", 1)), **weight("itemWeight", 2)},
    ):
        assert iciq(answer).problem is Reason.INVALID_ITEM


def test_the_url_of_a_contained_questionnaire():
    for name, url in (("k", ICIQ), ("#k", f"{ICIQ}|2.0")):
        contained = [{"resourceType": "Patient", "id": "k"}]
        contained.append({"resourceType": "Questionnaire", "id": name, "url": url})
        own = {"questionnaire": "#k", "contained": contained}
        assert iciq({"valueInteger": 1}, **own).value == 6
    own = {"questionnaire": "#k", "item": [{"linkId": "z", "answer": [{"valueInteger": 1}]}]}
    found = extracted(response("q", "2016-07-10", [], **own))
    assert isinstance(found, NotUsed)
    assert found.reason is Reason.UNMAPPED_QUESTIONNAIRE


# ------------------------------------------------------------------ marks


@pytest.mark.parametrize(
    ("answers", "marks"),
    [
        ([1, 1, 1, 1, 1], ()),
        ([1, 0, 1, 1, 1], ("no-intercourse",)),
        ([1, 0, 0, 0, 0], ("no-intercourse",)),
        ([5, 5, 5, 5, 0], ("no-intercourse",)),
    ],
)
def test_a_score_of_no_attempt_is_marked(answers, marks):
    (score,) = extracted(response("q", "2016-07-10", answers)).scores
    assert (score.value, score.marks, score.mismatch) == (sum(answers), marks, False)


def test_a_mark_does_not_stay_with_equal_sums_or_missing_scores():
    (marked,) = extracted(response("q", "2016-07-10", [2, 0, 2, 2, 2])).scores
    (other,) = extracted(response("q", "2016-07-10", [2, 2, 2, 1, 1])).scores
    assert (marked.value, other.value) == (8, 8)
    assert (marked.marks, other.marks) == (("no-intercourse",), ())
    (incomplete,) = extracted(response("q", "2016-07-10", [2, 0, 2, 2])).scores
    assert (incomplete.problem, incomplete.marks) == (Reason.INCOMPLETE, ())


def test_a_mark_stands_beside_a_mismatch():
    found = response("q", "2016-07-10", [2, 0, 2, 2, 2])
    found["item"].append({"linkId": "total", "answer": [{"valueInteger": 9}]})
    (score,) = extracted(found).scores
    assert (score.value, score.marks, score.mismatch) == (8, ("no-intercourse",), True)


# ------------------------------------------------------------------ absurd numbers

ABSURD = ["1e28", "1e999999", "9" * 40, "-1e28", "1e-999999", "7.1e-17", "6." + "1" * 40]


@pytest.mark.parametrize("number", ABSURD)
@pytest.mark.parametrize("code", ["80883-2", "72109-2"])
def test_an_absurd_recorded_score(number, code):
    text = b'{"resourceType":"Observation","id":"o","status":"final","subject":{"reference":'
    text += b'"Patient/p1"},"effectiveDateTime":"2016-06-01","code":{"coding":[{"system":'
    text += f'"http://loinc.org","code":"{code}"}}]}},"valueQuantity":{{"value":'.encode()
    found = extracted(text + number.encode() + b"}}")
    if hasattr(found, "scores"):
        assert found.scores[0].problem is Reason.INVALID_ITEM
        collector = RecordCollector(retention(frozenset({"p1"})))
        collector.take(found)
        collector.encode()


@pytest.mark.parametrize("number", ABSURD)
def test_an_absurd_answer(number):
    for answer in ("valueDecimal", "valueInteger", "valueQuantity"):
        value = f'{{"value":{number}}}' if answer == "valueQuantity" else number
        text = '{"resourceType":"QuestionnaireResponse","id":"q","status":"completed",'
        text += '"subject":{"reference":"Patient/p1"},"authored":"2016-07-10",'
        text += f'"questionnaire":"{ICIQ}","item":['
        text += f'{{"linkId":"frequency","answer":[{{"{answer}":{value}}}]}}]}}'
        (score,) = extracted(text.encode()).scores
        assert score.problem is Reason.INVALID_ITEM


def test_a_score_is_kept_exactly():
    found = lab("o", code=codings((LOINC, "80883-2")), effectiveDateTime="2016-06-01")
    found["valueInteger"] = 12
    assert isinstance(extracted(found).scores[0].value, int | Fraction)
