"""A new instrument: one YAML, and its spec rows."""

from tests.extension.checkout import Checkout, hospital, only, patients
from tests.unit.inputs import BASE, response

#: The urinary scale of the QLQ-PR25, shortened to three items.
INSTRUMENT = """\
instrument:
  key: qlq-pr25-urinary
  words: EORTC QLQ-PR25, urinary symptoms
  source: "van Andel et al., Eur J Cancer 2008;44(16):2418-24"
  canonicals: ["{base}/Questionnaire/qlq-pr25"]
  worse: higher
  items:
    - {key: q31, link_ids: [q31], allowed: [1, 2, 3, 4]}
    - {key: q32, link_ids: [q32], allowed: [1, 2, 3, 4]}
    - {key: q33, link_ids: [q33], allowed: [1, 2, 3, 4]}
  minimum_answered: 2
  score: {method: mean, subtract: 1, divide: 3, multiply: 100}
"""

ROWS = """\
title: QLQ-PR25
about: The mean of the answered items, from 0 to 100.
cases:
  - id: pr25-01
    say: All items
    responses: ["2016-01-09 qlq-pr25 1,2,3"]
    expect: {prom-score-qlq-pr25-urinary baseline: 33.33}
  - id: pr25-02
    say: Half of the items are enough
    responses: ["2016-01-09 qlq-pr25 1,_,4"]
    expect: {prom-score-qlq-pr25-urinary baseline: 50}
  - id: pr25-03
    say: A change
    responses: ["2016-01-09 qlq-pr25 1,1,1", "2016-07-10 qlq-pr25 4,4,4"]
    expect: {prom-change-qlq-pr25-urinary 6-months: 100}
"""


def test_an_instrument(tmp_path):
    copy = Checkout(tmp_path / "copy")
    copy.add("mappings/instruments/qlq-pr25-urinary.yaml", INSTRUMENT)
    copy.add("tests/spec/tables/99-qlq-pr25.yaml", ROWS)
    assert len(copy.touched) == 2
    copy.check_rows()
    answered = response("r1", "2016-01-09", [], questionnaire=f"{BASE}/Questionnaire/qlq-pr25")
    answered["item"] = [
        {"linkId": f"q{number}", "answer": [{"valueInteger": 4}]} for number in (31, 32, 33)
    ]
    source = hospital(tmp_path / "in", answered)
    (score,) = only(copy.compute(source), "prom-score-qlq-pr25-urinary")
    assert score["valueQuantity"]["value"] == 100
    (explained,) = copy.explain(source, "p1", "prom-score-qlq-pr25-urinary")
    assert explained["value"] == "100"
    folder = copy.cohort(source, "--no-report")
    assert patients(folder)["qlq_pr25_urinary_baseline"].dropna().tolist() == [100.0]
