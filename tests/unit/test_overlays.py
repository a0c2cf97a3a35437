"""Site overlays: how layers merge, where entries come from, and how mistakes are named."""

import json
from datetime import date
from pathlib import Path

import pytest
import yaml

from fhircryo.errors import UsageError
from fhircryo.mapping.load import Mappings, load_mappings, load_protocol
from fhircryo.mapping.mapping_text import show
from fhircryo.mapping.overlay import OverlayFile, json_schema
from fhircryo.runs.in_memory import compute_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from fhircryo.storage.shipped_files import shipped
from tests.unit.inputs import (
    adverse_event,
    cli,
    condition,
    folder,
    line,
    procedure,
    psa,
    response,
    value,
)

AS_OF = date(2017, 12, 31)
LOCAL = "https://h.example/local"


def _overlay(tmp_path: Path, text: str, name: str = "site.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def _loaded(tmp_path: Path, *texts: str) -> Mappings:
    return load_mappings(
        _overlay(tmp_path, text, f"{number}.yaml") for number, text in enumerate(texts, 1)
    )


def _code(concept: str, code: str = "A", more: str = "") -> str:
    return (
        f"concepts:\n  {concept}:\n    codes:\n"
        f'      - {{system: "{LOCAL}", code: "{code}", verified: x{more}}}\n'
    )


# ------------------------------------------------------------------ layers


def test_layers_merge_in_order(tmp_path):
    add = _code("psa")
    withdraw = f'concepts:\n  psa:\n    withdraw: [{{system: "{LOCAL}", code: A}}]\n'
    assert len(_loaded(tmp_path, add).codes[LOCAL, "A"]) == 1
    assert (LOCAL, "A") not in _loaded(tmp_path, add, withdraw).codes
    again = _loaded(tmp_path, add, withdraw, _code("psa", more=", unit: ng/dL"))
    (entry,) = again.codes[LOCAL, "A"]
    assert (entry.unit, entry.layer) == ("ng/dL", 3)
    with pytest.raises(UsageError, match=r"1\.yaml:3: concepts\.psa\.withdraw\.0"):
        _loaded(tmp_path, withdraw, add)


def test_what_a_layer_withdraws_goes_before_what_it_adds(tmp_path):
    text = """\
concepts:
  psa:
    codes:
      - {system: "http://loinc.org", code: 2857-1, verified: x, unit: ng/mL}
    withdraw:
      - {system: "http://loinc.org", code: 2857-1}
"""
    (entry,) = _loaded(tmp_path, text).codes["http://loinc.org", "2857-1"]
    assert (entry.unit, entry.layer) == ("ng/mL", 1)


def test_the_last_word_on_statuses_and_the_rule_counts(tmp_path):
    one = "statuses: {observation: [final]}\nprotocol: {psa: {detection_limit: half}}\n"
    two = "statuses: {procedure: [completed]}\nprotocol: {psa: {detection_limit: zero}}\n"
    mappings = _loaded(tmp_path, one, two)
    assert mappings.statuses.observation == ("final",)
    assert mappings.statuses.procedure == ("completed",)
    assert mappings.detection_limit == "zero"


def test_every_section_changes_the_hash(tmp_path):
    seen = {load_mappings().sha256}
    for text in (_code("psa"), "statuses: {observation: [final]}\n"):
        seen.add(_loaded(tmp_path, text).sha256)
    assert len(seen) == 3


def test_descendants_that_are_withdrawn(tmp_path):
    system = "http://hl7.org/fhir/sid/icd-10"
    text = (
        "concepts:\n  metastasis:\n    withdraw:\n"
        f'      - {{system: "{system}", code: C77.5, descendants: prefix}}\n'
    )
    mappings = _loaded(tmp_path, text)

    def means(code: str) -> bool:
        return any(entry.concept == "metastasis" for entry in mappings.meanings(system, code))

    assert [means(code) for code in ("C77", "C77.4", "C77.5", "C77.51")] == [
        True,
        True,
        False,
        False,
    ]


# ------------------------------------------------------------------ a code in two places


SAME = {
    "two concepts": (_code("psa"), _code("metastasis"), True),
    "an instrument's total": (
        _code("psa"),
        f"instruments:\n  ipss:\n    observations: [{{system: '{LOCAL}', code: A, verified: x}}]\n",
        True,
    ),
    "conditions that are not told apart": (
        _code("psa", more=", specimen: [{text: serum}]"),
        _code("psa-excluded", more=", method: [{text: free}]"),
        True,
    ),
    "conditions that are": (
        _code("psa", more=", specimen: [{text: serum}]"),
        _code("psa-excluded", more=", specimen: [{text: urine}]"),
        False,
    ),
    "the same conditions": (
        _code("psa", more=", specimen: [{text: serum}]"),
        _code("psa", more=", specimen: [{text: Serum}]"),
        False,
    ),
    "other conditions of one concept": (
        _code("psa", more=", specimen: [{text: serum}]"),
        _code("psa", more=", method: [{text: total}]"),
        False,
    ),
    "two units": (
        _code("psa", more=", specimen: [{text: serum}], unit: ng/mL"),
        _code("psa", more=", method: [{text: total}], unit: ng/dL"),
        True,
    ),
    "with conditions and without": (_code("psa"), _code("psa", more=", method: [{text: a}]"), True),
    "a descendant": (
        _code("metastasis", "C7", ", descendants: prefix"),
        _code("local-recurrence", "C79"),
        True,
    ),
    "a descendant in the same concept": (
        _code("metastasis", "C7", ", descendants: prefix"),
        _code("metastasis", "C79"),
        False,
    ),
    "a descendant that would count less often": (
        _code("metastasis", "C7", ", descendants: prefix"),
        _code("metastasis", "C79", ", status: [active]"),
        True,
    ),
    "a text": (
        "concepts: {psa: {texts: [{text: PSA total, verified: x}]}}\n",
        "concepts: {psa-excluded: {texts: [{text: psa  TOTAL, verified: x}]}}\n",
        True,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SAME)
def test_a_code_means_one_thing(case, tmp_path):
    one, two, refused = SAME[case]
    if not refused:
        _loaded(tmp_path, one, two)
        return
    with pytest.raises(UsageError) as caught:
        _loaded(tmp_path, one, two)
    # The later one is to be mended; both are named, with their lines.
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "2.yaml") + ":")
    assert f"is already defined at {tmp_path / '1.yaml'}:" in message


# ------------------------------------------------------------------ mistakes

# what is written; the line and what else the message must name
WRONG = {
    "a key misspelt": (
        _code("psa").replace("verified", "verfied"),
        4,
        ["codes.0.verfied", "did you mean verified?"],
    ),
    "a section misspelt": ("instrument: {}\n", 1, ["instrument", "did you mean instruments?"]),
    "a former value by its prefix": (
        _code("disease-worsened", more=", descendants: prefix"),
        4,
        ["disease-worsened.codes.0.descendants", "list each code"],
    ),
    "a former value to withdraw that is not there": (
        'concepts:\n  disease-worsened:\n    withdraw: [{system: "http://loinc.org", code: "1"}]\n',
        3,
        ["disease-worsened.withdraw.0", "no such code to withdraw"],
    ),
    "a concept misspelt": (_code("metastases"), 2, ["did you mean metastasis?"]),
    "a section without anything": ("concepts:\n", 1, ["concepts"]),
    "a condition that the resource cannot have": (
        _code("cryoablation", more=", specimen: [{text: a}]"),
        4,
        ["codes.0.specimen", "Procedure.code"],
    ),
    "a condition of a value": (
        _code("procedure-unsuccessful", more=", status: [stopped]"),
        4,
        ["codes.0.status"],
    ),
    "a condition without a code": (
        _code("cryoablation", more=", category: [{system: a}]"),
        4,
        ["codes.0.category.0.code", "required"],
    ),
    "a condition's status": (
        _code("cryoablation", more=", status: [complete]"),
        4,
        ["codes.0.status.0", "did you mean completed?"],
    ),
    "a unit of no concentration": (_code("metastasis", more=", unit: ng/mL"), 4, ["codes.0.unit"]),
    "a default unit that nobody knows": (
        _code("psa", more=", unit: ng/ul"),
        4,
        ["concepts.psa.codes", "unit: ng/ul", "did you mean ng/"],
    ),
    "nothing to withdraw": (
        'concepts:\n  psa:\n    withdraw: [{system: "http://loinc.org", code: 2857-2}]\n',
        3,
        ["withdraw.0", "did you mean 2857-1?"],
    ),
    "a status that does not exist": (
        "statuses:\n  observation: [finall]\n",
        2,
        ["statuses.observation.0", "'final'"],
    ),
    "a success that is no candidate": (
        "statuses:\n  procedure: [stopped]\n",
        None,
        ["procedure_complete", "completed"],
    ),
    "a spelling of a unit that stands": (
        "units:\n  psa:\n    factors:\n      ng/ml: 2\n",
        4,
        ["units.psa.factors.ng/ml", "units.yaml:"],
    ),
    "a spelling to withdraw that is not there": (
        "units:\n  psa:\n    withdraw: [mg]\n",
        3,
        ["withdraw.0", "there are:"],
    ),
    "a factor of nothing": ("units:\n  psa:\n    factors: {x: 0}\n", 3, ["factors.x"]),
    "a scale misspelt": (
        "grades:\n  scales:\n    clavien: {}\n",
        3,
        ["grades.scales.clavien", "did you mean clavien-dindo?"],
    ),
    "a grade that is none": (
        "grades:\n  scales:\n    clavien-dindo:\n      texts:\n"
        "        - {text: a, grade: 3b, verified: x}\n",
        5,
        ["texts.0.grade", "'3b'", "IIIb"],
    ),
    "a grade's text twice": (
        "grades:\n  scales:\n    clavien-dindo:\n      texts:\n"
        "        - {text: a, grade: I, verified: x}\n        - {text: A, grade: II, verified: x}\n",
        6,
        [":5"],
    ),
    "an extension twice": (
        'grades:\n  extensions: ["http://a"]\n  scales:\n    sir-2003: {extensions: ["http://a"]}\n',
        4,
        ["http://a", ":2"],
    ),
    "an extension to withdraw that is not there": (
        'grades:\n  withdraw: ["http://a"]\n',
        2,
        ["grades.withdraw.0", "http://a", "ae-grade"],
    ),
    "an instrument misspelt": (
        "instruments:\n  iief5: {}\n",
        2,
        ["instruments.iief5", "did you mean iief-5?"],
    ),
    "an item misspelt": (
        "instruments:\n  iief-5:\n    items:\n      q6: {link_ids: [a]}\n",
        4,
        ["items.q6", "there are: q1, q2"],
    ),
    "a linkId of two items": (
        "instruments:\n  iief-5:\n    items:\n      q1: {link_ids: [q2]}\n",
        4,
        ["items.q1.link_ids.0", "iief-5.yaml:"],
    ),
    "a linkId to withdraw that is not there": (
        "instruments:\n  iief-5:\n    items:\n      q1: {withdraw: [q9]}\n",
        4,
        ["items.q1.withdraw.0"],
    ),
    "no linkId left": (
        "instruments:\n  iief-5:\n    items:\n      q1: {withdraw: [q1]}\n",
        4,
        ["items.q1", "no linkId is left"],
    ),
    "a canonical that stands": (
        'instruments:\n  iief-5:\n    canonicals: ["{base}/Questionnaire/iief-5"]\n',
        3,
        ["canonicals.0", "iief-5.yaml:5"],
    ),
    "a canonical with its version": (
        'instruments:\n  iief-5:\n    canonicals: ["http://a|1"]\n',
        3,
        ["canonicals.0"],
    ),
    "an answer's code twice": (
        "instruments:\n  iief-5:\n    items:\n      q1:\n        answers:\n"
        "          - {code: a, score: 1}\n          - {code: a, score: 2}\n",
        7,
        ["answers.1", ":6"],
    ),
    "a domain misspelt": (
        "instruments:\n  epic-26:\n    domains:\n      bowel: {}\n",
        4,
        ["domains.bowel", "epic-26-bowel"],
    ),
    "a total of a questionnaire with domains": (
        "instruments:\n  epic-26:\n    observations: [{system: a, code: b, verified: x}]\n",
        2,
        ["instruments.epic-26", "domains"],
    ),
    "an Observation of a score without a range": (
        "instruments:\n  qlq-c30-ql2:\n    observations: [{system: a, code: b, verified: x}]\n",
        3,
        ["observations", "no total"],
    ),
    "a total that is not there": (
        "instruments:\n  qlq-c30-ql2:\n    total: {link_ids: [a]}\n",
        3,
        ["instruments.qlq-c30-ql2.total"],
    ),
    "a rule that cannot be changed": (
        "protocol:\n  psa:\n    nadir_limit_max: 1\n",
        None,
        ["protocol.psa.nadir_limit_max"],
    ),
    "an unknown rule": (
        "protocol:\n  psa:\n    detection_limit: quarter\n",
        3,
        ["protocol.psa.detection_limit", "'half'"],
    ),
}

NEW = """\
new_instruments:
  - key: distress
    words: Distress
    source: here
    canonicals: [c]
    worse: higher
    items:
      - {key: a, link_ids: [a], allowed: [1, 2, 3]}
      - {key: b, link_ids: [b], allowed: {minimum: 0, maximum: 4}}
    minimum_answered: 2
    score: {method: sum}
"""
NEW_WRONG = {
    "no way to find it": ("    canonicals: [c]\n", "", "canonicals"),
    "a key that stands": ("key: distress", "key: ipss", "ipss.yaml:"),
    "neither a score nor domains": ("    score: {method: sum}\n", "", "domains"),
    "a linkId twice": ("link_ids: [b]", "link_ids: [a]", "linkId a"),
    "more answers than items": ("minimum_answered: 2", "minimum_answered: 3", "minimum_answered"),
    "a range backwards": ("minimum: 0,", "minimum: 5,", "minimum is above maximum"),
    "recoded in part": ("[1, 2, 3]}", "[1, 2, 3], recode: {1: 0}}", "recode"),
    "an unknown method": ("method: sum", "method: median", "score.method"),
    "a score beside domains": (
        "    worse: higher\n",
        "    domains: [{key: d, words: w, worse: lower, items: [a], minimum_answered: 1,"
        " score: {method: mean}}]\n",
        "minimum_answered belongs to each domain",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named_with_its_line(case, tmp_path):
    text, number, named = WRONG[case]
    path = _overlay(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_mappings([path])
    message = str(caught.value)
    if number is not None:
        assert message.startswith(f"{path}:{number}: ")
    for words in named:
        assert words in message


@pytest.mark.parametrize("case", NEW_WRONG)
def test_a_mistake_in_a_new_instrument_is_named(case, tmp_path):
    old, new, named = NEW_WRONG[case]
    assert old in NEW
    load_mappings([_overlay(tmp_path, NEW)])
    path = _overlay(tmp_path, NEW.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_mappings([path])
    assert str(caught.value).startswith(f"{path}:")
    assert named in str(caught.value)


def test_a_domain_is_of_items_that_are_there(tmp_path):
    content = yaml.safe_load(NEW)
    (new,) = content["new_instruments"]
    domain = {"key": "d", "words": "w", "items": ["a", "c"]}
    for name in ("worse", "minimum_answered", "score"):
        domain[name] = new.pop(name)
    new["domains"] = [domain]
    with pytest.raises(UsageError, match="domain d: there is no item c"):
        load_mappings([_overlay(tmp_path, yaml.safe_dump(content))])
    domain["items"] = ["a", "b"]
    loaded = load_mappings([_overlay(tmp_path, yaml.safe_dump(content))])
    assert loaded.instruments[-1].key == "d"


def test_the_command_names_the_mistake(tmp_path):
    path = _overlay(tmp_path, WRONG["a key misspelt"][0])
    ran = cli("mappings", "check", path)
    assert ran.code == 2
    assert f"{path}:4: concepts.psa.codes.0.verfied" in ran.err
    assert "did you mean verified?" in ran.err
    assert "Traceback" not in ran.err


# ------------------------------------------------------------------ shown


def test_what_is_merged_is_shown_with_its_place(tmp_path):
    text = _code("psa", more=', specimen: [{text: serum}, {system: s, code: c}], unit: "ng/dL"')
    text += '    withdraw: [{system: "http://loinc.org", code: 35741-8}]\n'
    path = _overlay(tmp_path, text)
    lines = list(show(load_mappings([path]).merged, "psa"))
    assert lines[0].startswith("psa: ")
    shown = {line.split()[0]: line for line in lines[1:]}
    assert shown["http://loinc.org|2857-1"].split()[1].startswith("mappings/concepts.yaml:")
    assert "http://loinc.org|35741-8" not in shown
    assert "with specimen 'serum' or s|c in ng/dL" in shown[f"{LOCAL}|A"]
    assert shown[f"{LOCAL}|A"].endswith(f"{path}:4")


def test_the_lines_are_those_of_the_files():
    for line_ in show(load_mappings().merged, "psa"):
        if "mappings/" in line_:
            pair, place = line_.split()
            name, number = place.removeprefix("mappings/").rsplit(":", 1)
            written = (shipped("mappings") / name).read_text("utf-8").splitlines()
            assert pair.split("|")[1] in written[int(number) - 1]


def test_everything_can_be_shown(tmp_path):
    path = shipped("mappings").parent / "examples" / "site-overlay" / "site.yaml"
    ran = cli("mappings", "show", "--mappings", path)
    assert ran.code == 0
    for words in (
        "extension ",
        "text 'CTCAE graad 3' = 3",
        "µg/l (IDMS) = 1",
        "signature vraag-29",
    ):
        assert any(words in line_ and f"{path}:" in line_ for line_ in ran.out.splitlines()), words
    assert "observation: corrected, amended, final" in ran.out


def test_a_name_that_cannot_be_shown_is_named():
    ran = cli("mappings", "show", "cryo")
    assert ran.code == 2
    assert "cryo" in ran.err
    assert "cryoablation" in ran.err


# ------------------------------------------------------------------ the rule below detection


def test_a_changed_rule_is_told_by_the_protocols_name(tmp_path):
    path = _overlay(tmp_path, "protocol: {psa: {detection_limit: zero}}\n")
    job = RunConfig.of(Settings(mappings=(path,)), date(2017, 12, 31))
    assert job.protocol.psa.detection_limit == "zero"
    assert job.protocol.name == "bomers-2020 2.0 with psa.detection_limit zero"
    # Identifiers are by the protocol's id: they stay.
    assert job.protocol.id == load_protocol().id
    same = _overlay(tmp_path, "protocol: {psa: {detection_limit: limit}}\n")
    assert RunConfig.of(Settings(mappings=(same,)), date(2017, 12, 31)).protocol == load_protocol()


def test_the_manifest_says_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "in", {"Procedure.ndjson": line(procedure()) + b"\n"})
    path = _overlay(tmp_path, "protocol: {psa: {detection_limit: zero}}\n")
    ran = cli("compute", "in", "out", "--as-of", "2017-12-31", "--mappings", path)
    assert ran.code == 0, ran.err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["protocol"]["version"] == "2.0 with psa.detection_limit zero"
    assert manifest["mappings"]["psa.detection_limit"] == "zero"
    assert "UNMET" not in ran.err


# ------------------------------------------------------------------ an overlay of another source


MET = {
    "a code": (_code("psa", "A"), True),
    "another code": (_code("psa", "B"), False),
    "a code whose condition fails": (_code("psa", "A", ", method: [{text: other}]"), False),
    "a text": ("concepts: {cryoablation: {texts: [{text: Kryo, verified: x}]}}\n", True),
    "another text": ("concepts: {cryoablation: {texts: [{text: Kryos, verified: x}]}}\n", False),
    "a unit": ("units: {psa: {factors: {odd: 1}}}\n", True),
    "another unit": ("units: {psa: {factors: {even: 1}}}\n", False),
    "a canonical": ('instruments: {iief-5: {canonicals: ["https://h.example/form"]}}\n', True),
    "another canonical": ('instruments: {iief-5: {canonicals: ["https://h.example/b"]}}\n', False),
    "a linkId": ("instruments: {iief-5: {total: {link_ids: [extra]}}}\n", True),
    "another linkId": ("instruments: {iief-5: {total: {link_ids: [other]}}}\n", False),
    "nothing that could be met": ("statuses: {observation: [final]}\n", None),
}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("case", MET)
def test_an_overlay_that_fits_nothing_is_told(case, workers, tmp_path, monkeypatch):
    from fhircryo.runs import drivers
    from fhircryo.sources import folder_source

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(drivers, "_WORTH_SHARING", 0)
    monkeypatch.setattr(folder_source, "PART_SIZE", 400)
    text, met = MET[case]
    path = _overlay(tmp_path, text)
    local = psa("a", "2016-05-01", 1)
    local["code"] = {"coding": [{"system": LOCAL, "code": "A"}]}
    odd = psa("b", "2016-06-01", 1)
    odd["valueQuantity"] = {"value": 1, "unit": "odd"}
    by_text = procedure("x2")
    by_text["code"] = {"text": "kryo"}
    form = response("r", "2016-07-10", [1, 2, 3, 4, 4])
    own = response("s", "2016-07-11", [1, 2, 3, 4, 4])
    own["questionnaire"] = "https://h.example/form"
    form["item"].append({"linkId": "extra", "answer": [{"valueInteger": 14}]})
    content = b"\n".join(map(line, [procedure(), by_text, local, odd, form, own])) + b"\n"
    folder(tmp_path / "in", {"all.ndjson": content})
    ran = cli("compute", "in", "out", "--mappings", path, "--workers", str(workers))
    assert ran.code == 0, ran.err
    counts = json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"]
    assert ("UNMET: nothing that site.yaml maps" in ran.err) == (met is False)
    assert counts["overlays_unmet"] == (["site.yaml"] if met is False else [])


# ------------------------------------------------------------------ codes where they do not belong


CONDITIONAL = "concepts:\n  psa:\n    codes:\n" + "".join(
    f'      - {{system: "{LOCAL}", code: "{code}", verified: x, {condition}}}\n'
    for code, condition in (
        ("S", "specimen: [{text: serum}]"),
        ("T", "status: [final]"),
        ("B", "body_site: [{text: blood}]"),
    )
)


@pytest.mark.parametrize("code", ["S", "T", "B"])
def test_a_code_under_conditions_may_stand_anywhere(code, tmp_path):
    """In a value, in a resource of another type: it counts for nothing, and breaks nothing."""
    mappings = load_mappings([_overlay(tmp_path, CONDITIONAL)])
    coded = {"coding": [{"system": LOCAL, "code": code}]}
    status = psa("s", "2016-05-01", 1)
    status["code"] = {"coding": [{"system": "http://loinc.org", "code": "97509-4"}]}
    status["valueCodeableConcept"] = coded
    event = adverse_event("e", "2016-01-12") | {"event": coded}
    other = condition("c", "2016-05-01") | {"code": coded}
    resources = [procedure() | {"outcome": coded}, status, event, other]
    done = compute_resources(resources, AS_OF, mappings=mappings)
    assert value(done.observations, "technical-success") == "Y"
    assert not [one for one in done.issues if one.reason == "unreadable"]


@pytest.mark.parametrize("element", ["category", "bodySite", "specimen", "method", "contained"])
def test_an_element_of_the_wrong_type_matters_to_those_who_ask_for_it(element, tmp_path):
    text = CONDITIONAL.replace("body_site: [{text: blood}]", "category: [{text: a}]")
    text += f'      - {{system: "{LOCAL}", code: M, verified: x, method: [{{text: a}}]}}\n'
    text += f'      - {{system: "{LOCAL}", code: D, verified: x, body_site: [{{text: a}}]}}\n'
    mappings = load_mappings([_overlay(tmp_path, text)])
    code = {"category": "B", "bodySite": "D", "method": "M"}.get(element, "S")
    odd = psa("a", "2016-05-01", 1) | {"specimen": {"reference": "#s"}}
    odd[element] = 3
    asked = odd | {"id": "b", "code": {"coding": [{"system": LOCAL, "code": code}]}}
    done = compute_resources([procedure(), odd, asked], AS_OF, mappings=mappings)
    assert value(done.observations, "psa-nadir") == 1
    assert [one.reason for one in done.issues] == ["unreadable"]


def test_a_grading_whose_condition_fails_keeps_no_scale(tmp_path):
    text = _code("sir-grading", "G", ", method: [{text: a}]")
    mappings = load_mappings([_overlay(tmp_path, text)])
    grading = psa("g", "2016-05-01", 1)
    grading["code"] = {"coding": [{"system": LOCAL, "code": "G"}]}
    for method, present in (("a", True), ("b", False)):
        one = grading | {"method": {"text": method}, "subject": {"reference": "Patient/other"}}
        done = compute_resources([procedure(), one], AS_OF, mappings=mappings)
        assert (value(done.observations, "worst-sir") == "none") is present


# ------------------------------------------------------------------ the schema


def test_the_schema_is_that_of_the_format():
    path = shipped("mappings") / "overlay.schema.json"
    assert path.read_text(encoding="utf-8") == json_schema(), "run make docs"
    assert cli("mappings", "schema").out == json_schema()


def test_the_schema_knows_every_key():
    schema = json.loads(json_schema())
    assert set(schema["properties"]) == set(OverlayFile.model_fields)
    assert all(one.get("description") for one in schema["properties"].values())
    assert schema["additionalProperties"] is False
