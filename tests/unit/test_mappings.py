"""Mapping, overlay and protocol files: every mistake is named with its file and path."""

import contextlib
import copy
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from fhircryo.errors import UsageError
from fhircryo.mapping import load
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.mapping.yamlfile import read_yaml
from fhircryo.runs.in_memory import compute_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from fhircryo.storage.shipped_files import shipped
from tests.unit.inputs import adverse_event, cli, condition, procedure, psa, response, value

PROTOCOL = shipped("mappings") / "protocols" / "bomers-2020.yaml"


def _written(tmp_path: Path, text: str, name: str = "site.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def _overlay(code: str, concept: str = "cryoablation") -> str:
    return f"concepts:\n  {concept}:\n    codes:\n      - {code}\n"


GOOD = '{system: "http://example.org", code: A1, verified: here}'

# what is written, and what the message must name beside the file
OVERLAYS = {
    "unknown key at the top": ("concept: {}\n", ["concept"]),
    "unknown key of a concept": (
        "concepts:\n  psa:\n    codes: []\n    words: x\n",
        ["concepts.psa.words"],
    ),
    "unknown key of a code": (
        _overlay('{system: "http://a.org", code: A1, verified: x, unit: g}'),
        ["concepts.cryoablation.codes.0.unit"],
    ),
    "code without system": (_overlay("{code: A1, verified: x}"), ["codes.0.system"]),
    "code with an empty system": (
        _overlay('{system: "", code: A1, verified: x}'),
        ["codes.0.system"],
    ),
    "code with a blank system": (
        _overlay('{system: " ", code: A1, verified: x}'),
        ["codes.0.system"],
    ),
    "code with system null": (
        _overlay("{system: null, code: A1, verified: x}"),
        ["codes.0.system"],
    ),
    "system without code": (_overlay('{system: "http://a.org", verified: x}'), ["codes.0.code"]),
    "a code that was not verified": (
        _overlay('{system: "http://a.org", code: A1}'),
        ["codes.0.verified"],
    ),
    "a code as number": (
        _overlay('{system: "http://a.org", code: 55873, verified: x}'),
        ["codes.0.code"],
    ),
    "a code that is shipped, with a condition": (
        _overlay(
            '{system: "http://www.ama-assn.org/go/cpt", code: "55873", verified: x,'
            " body_site: [{text: prostate}]}"
        ),
        ["55873", "cryoablation"],
    ),
    "a code that is shipped with another concept": (
        _overlay('{system: "http://loinc.org", code: "2857-1", verified: x}'),
        ["2857-1", "concepts.psa", "concepts.cryoablation"],
    ),
    "a code twice": (_overlay(f"{GOOD}\n      - {GOOD}"), ["A1"]),
    "a prefix that is shipped, with a condition": (
        _overlay(
            '{system: "http://hl7.org/fhir/sid/icd-10", code: C77, verified: x, status: [active]}',
            "metastasis",
        ),
        ["C77"],
    ),
    "unknown concept": (_overlay(GOOD, "cryo"), ["concepts.cryo", "cryoablation"]),
    "a concept's name in capitals": (_overlay(GOOD, "Cryoablation"), ["Cryoablation"]),
    "unknown descendants": (
        _overlay('{system: "http://a.org", code: A1, verified: x, descendants: all}'),
        ["codes.0.descendants"],
    ),
    "a body site without system": (
        _overlay('{system: "http://a.org", code: A1, verified: x, body_site: [{code: b}]}'),
        ["codes.0.body_site.0.system"],
    ),
    "codes that are no list": ("concepts:\n  psa:\n    codes: {a: b}\n", ["concepts.psa.codes"]),
    "a list": ("- a\n", ["(top)"]),
    "a text": ("psa\n", ["(top)"]),
    "nothing": ("", ["(top)"]),
    "no concepts": ("{}\n", ["concepts"]),
    "a key twice": ("concepts:\n  psa: {codes: []}\n  psa: {codes: []}\n", [":3", "psa"]),
    "a key twice, deep": (
        _overlay('{system: "http://a.org", code: A1, code: A2, verified: x}'),
        [":4", "code"],
    ),
    "a key twice at the top": ("concepts: {}\nconcepts: {}\n", [":2", "concepts"]),
    "not YAML": ("concepts: [\n", [":"]),
    "a tab": ("concepts:\n\tpsa: {}\n", [":2"]),
    "two documents": ("concepts: {}\n---\nconcepts: {}\n", [":"]),
    "a control character": ("concepts: \x00\n", []),
    "an unknown alias": ("concepts: *a\n", [":1"]),
    "a list as key": ("concepts: {[a]: {codes: []}}\n", [":1"]),
    "null as key": ("concepts: {null: {codes: []}}\n", [":1"]),
    "a number as key": ("concepts: {1: {codes: []}}\n", ["concepts"]),
    "not a number": ("concepts: .nan\n", []),
    "something that holds itself": ("concepts: &a {psa: *a}\n", []),
    "a list that holds itself": ("concepts: {psa: {codes: &a [*a]}}\n", []),
    "python's objects": ('concepts: !!python/object/apply:os.system ["true"]\n', [":1"]),
    "python's names": ("concepts: !!python/name:os.system\n", [":1"]),
    "python's tuples": ("concepts: !!python/tuple [a]\n", [":1"]),
    "an own tag": ("concepts: !concept {}\n", [":1"]),
    "a day that does not exist": (
        _overlay('{system: "http://a.org", code: A1, verified: 2020-02-30}'),
        [":4", "2020-02-30"],
    ),
    "aliases of aliases": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
            for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        ["aliases"],
    ),
}


@pytest.mark.parametrize("case", OVERLAYS)
def test_a_wrong_overlay_is_named(case, tmp_path):
    text, named = OVERLAYS[case]
    path = _written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_mappings([path])
    message = str(caught.value)
    assert message.startswith(str(path))
    for words in named:
        assert words in message


@pytest.mark.parametrize("case", ["unknown key at the top", "not YAML", "a code twice", "nothing"])
def test_the_command_names_a_wrong_overlay(case, tmp_path):
    path = _written(tmp_path, OVERLAYS[case][0])
    for arguments in (["mappings", "check", path], ["compute", tmp_path, "o", "--mappings", path]):
        ran = cli(*arguments)
        assert ran.code == 2
        assert str(path) in ran.err
        assert "Traceback" not in ran.err


def test_a_tag_never_runs_anything(tmp_path):
    mark = tmp_path / "ran"
    text = f'concepts: !!python/object/apply:os.mkdir ["{mark}"]\n'
    with pytest.raises(UsageError):
        load_mappings([_written(tmp_path, text)])
    assert not mark.exists()


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path):
    path = _written(tmp_path, _overlay("{code: A1, verfied: x}"))
    with pytest.raises(UsageError) as caught:
        load_mappings([path])
    for words in ("codes.0.system", "codes.0.verified", "codes.0.verfied"):
        assert words in str(caught.value)


def test_files_that_are_not_there_or_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path, _latin(tmp_path)):
        with pytest.raises(UsageError, match=str(path)):
            load_mappings([path])
        with pytest.raises(UsageError, match=str(path)):
            load_protocol(path)


def _latin(tmp_path: Path) -> Path:
    path = tmp_path / "latin.yaml"
    path.write_bytes("title: Müller\n".encode("latin-1"))
    return path


def test_a_code_twice_in_two_overlays_names_both(tmp_path):
    one = _written(tmp_path, _overlay(GOOD), "one.yaml")
    two = _written(tmp_path, _overlay(GOOD, "metastasis"), "two.yaml")
    with pytest.raises(UsageError) as caught:
        load_mappings([one, two])
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)


def test_an_overlay_adds_codes_and_changes_the_hash(tmp_path):
    path = _written(tmp_path, "\ufeff" + _overlay(GOOD))
    plain, laid_over = load_mappings(), load_mappings([path])
    (entry,) = laid_over.codes["http://example.org", "A1"]
    assert entry.concept == "cryoablation"
    assert laid_over.codes.keys() - plain.codes.keys() == {("http://example.org", "A1")}
    assert laid_over.sha256 != plain.sha256
    assert load_mappings().sha256 == plain.sha256
    assert load_mappings().codes.keys() == plain.codes.keys()


def test_the_base_stands_in_every_canonical():
    mappings = load_mappings(base="https://example.org/b")
    assert "https://example.org/b/Questionnaire/iief-5" in mappings.canonicals
    assert ("https://example.org/b/CodeSystem/concept", "local-recurrence") in mappings.codes
    assert ("https://example.org/b/CodeSystem/sir-2003", "D") in mappings.grades
    assert not any("{base}" in str(pair) for pair in [*mappings.codes, *mappings.grades])
    assert not any("w3id" in (system or "") for system, _ in mappings.codes)


# ------------------------------------------------------------------ the shipped files themselves


@pytest.fixture
def own_files(tmp_path, monkeypatch) -> Path:
    """A copy of the shipped mappings, to be spoilt."""
    import shutil

    copied = tmp_path / "mappings"
    shutil.copytree(shipped("mappings"), copied)
    monkeypatch.setattr(load, "shipped", lambda name: tmp_path / name)
    return copied


SPOILT = {
    "concepts.yaml": [
        ("  psa:\n", "  psb:\n", "concepts.psa"),
        ("    words: Total PSA in serum", "    word: Total PSA in serum", "concepts.psa.word"),
        ('code: "35741-8"', 'code: "2857-1"', "2857-1"),
        ('{system: "http://loinc.org", code: "35741-8"', '{code: "35741-8"', "psa.codes.1.system"),
    ],
    "units.yaml": [
        ("ng/dL: 0.01", "ng/dL: 0", "units.psa.factors.ng/dL"),
        ("ng/dL: 0.01", "ng/dL: -0.01", "units.psa.factors.ng/dL"),
        ("ng/dL: 0.01", "ng/dL: much", "units.psa.factors.ng/dL"),
        ("ng/dL: 0.01", "ng/mL: 0.01", "ng/mL"),
        # two spellings of one unit: `l` and `L` are the same
        ("ng/dL: 0.01", "ng/ml: 0.01", "ng/ml"),
        ("    target: ng/mL\n", "", "units.psa.target"),
        ("  psa:", "  testosterone:", "units.psa"),
    ],
    "grades.yaml": [
        ("order: [A, B, C, D, E, F]", "order: [A, B, C, D, E, A]", "sir-2003"),
        ('code: "1367520006", grade: II,', 'code: "1367519000", grade: II,', "1367519000"),
        ("unspecified: {III: IIIb,", "unspecified: {IIIc: IIIb,", "clavien-dindo"),
        ("grade: IVb,", "grade: IVc,", "clavien-dindo"),
        ("fatal: V", "fatal: VI", "clavien-dindo"),
        ("      fatal: F\n", "", "sir-2003.fatal"),
        ('{system: "http://snomed.info/sct", code: "1367520006"', '{code: "1367520006"', "system"),
    ],
    "statuses.yaml": [
        ("[completed, stopped]", "completed", "statuses.procedure"),
        ("procedure_complete:", "procedure_done:", "statuses.procedure_done"),
        # a status that stands twice has two ranks
        ("[corrected, amended, final]", "[corrected, amended, final, corrected]", "observation"),
    ],
    "instruments/iief-5.yaml": [
        ("minimum_answered: 5", "minimum_answered: 6", "instrument"),
        ("link_ids: [q2]", "link_ids: [q1]", "instrument"),
        ("link_ids: [q2]", "link_ids: []", "instrument.items.1.link_ids"),
        ("minimum: 1,", "minimum: 26,", "instrument.total"),
        ("worse: lower", "worse: smaller", "instrument.worse"),
        ('canonicals: ["{base}/Questionnaire/iief-5"]', "canonicals: []", "instrument"),
        ("{method: sum}", "{method: sum, divide: 0}", "instrument.score.divide"),
        ("key: iief-5", "key: IIEF-5", "instrument.key"),
        # two instruments of one key would be two endpoints of one name
        ("key: iief-5", "key: ipss", "ipss"),
        ("items: [q2, q3, q4, q5], value: 0", "items: [q2, q6], value: 0", "no-intercourse"),
        ("items: [q2, q3, q4, q5], value: 0", "items: [q1, q2], value: 0", "no-intercourse"),
        # an item's key twice
        ("{key: q2,", "{key: q1,", "q1"),
    ],
}


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [(file, *one) for file, changes in SPOILT.items() for one in changes],
)
def test_a_wrong_mapping_file_is_named(file, old, new, named, own_files):
    path = own_files / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_mappings()
    # of two files that contradict each other the later one is named
    assert str(path) in str(caught.value) or str(own_files / "instruments") in str(caught.value)
    assert named in str(caught.value)


def test_a_missing_mapping_file_is_named(own_files):
    (own_files / "units.yaml").unlink()
    with pytest.raises(UsageError, match=r"units\.yaml: no such file"):
        load_mappings()


# ------------------------------------------------------------------ protocols


def _protocol(**changes) -> dict:
    """The shipped protocol's content; ``a__b=value`` changes the field b of a."""
    content = copy.deepcopy(read_yaml(PROTOCOL))
    for name, changed in changes.items():
        *way, last = name.split("__")
        place = content
        for key in way:
            place = place[key]
        if changed is KeyError:
            del place[last]
        else:
            place[last] = changed
    return content


WRONG_PROTOCOLS = {
    "unknown key": ({"psa__units": "ng/mL"}, ["psa.units"]),
    "unknown key at the top": ({"remark": "x"}, ["remark"]),
    "missing": ({"psa__baseline_days": KeyError}, ["psa.baseline_days"]),
    "missing section": ({"index": KeyError}, ["index"]),
    "negative": ({"psa__baseline_days": -1}, ["psa.baseline_days"]),
    "a fraction of a day": ({"psa__baseline_days": Decimal("1.5")}, ["psa.baseline_days"]),
    "no number": ({"psa__baseline_days": "some"}, ["psa.baseline_days"]),
    "yes for a number": ({"psa__baseline_days": True}, ["psa.baseline_days"]),
    "null": ({"psa__nadir_limit_max": None}, ["psa.nadir_limit_max"]),
    "no rise": ({"biochemical_failure__rise": 0}, ["biochemical_failure.rise"]),
    "unknown definition": (
        {"biochemical_failure__definition": "astro"},
        ["biochemical_failure.definition"],
    ),
    "unknown limit": ({"psa__detection_limit": "quarter"}, ["psa.detection_limit"]),
    "unknown salvage": ({"salvage_therapy": "ignore"}, ["salvage_therapy"]),
    "a landmark at D0": ({"disease_free__landmark_months": 0}, ["disease_free.landmark_months"]),
    "an id with a blank": ({"id": "bomers 2020"}, ["id"]),
    "a version as number": ({"version": Decimal("1.0")}, ["version"]),
    "overlap": ({"time_points__12-months__from": 8}, ["time_points", "6-months", "12-months"]),
    "overlap, whole": (
        {"time_points__12-months": {"target": 6, "from": 5, "to": 7}},
        ["time_points", "6-months", "12-months"],
    ),
    "target outside its window": ({"time_points__6-months__target": 9}, ["time_points.6-months"]),
    "a window backwards": ({"time_points__6-months__from": 9}, ["time_points.6-months"]),
    "a window from D0": ({"time_points__6-months__from": 0}, ["time_points.6-months"]),
    "half a window": ({"time_points__6-months__to": KeyError}, ["time_points.6-months"]),
    "two kinds": ({"time_points__6-months__days_before": 3}, ["time_points.6-months"]),
    "two baselines": ({"time_points__earlier": {"days_before": 900}}, ["time_points", "baseline"]),
    "no baseline": ({"time_points__baseline": KeyError}, ["time_points", "baseline"]),
    "a baseline after D0": (
        {"time_points__baseline": {"target": 1, "from": 1, "to": 1}},
        ["time_points", "baseline"],
    ),
    "unknown published row": ({"published": [{"row": "x", "figure": "1"}]}, ["published.0.row"]),
}


@pytest.mark.parametrize("case", WRONG_PROTOCOLS)
def test_a_wrong_protocol_is_named(case, tmp_path):
    changes, named = WRONG_PROTOCOLS[case]
    content = _protocol(**changes)
    path = _written(tmp_path, yaml.dump(_plain(content)), "ours.yaml")
    for given, where in ((path, str(path)), (content, "protocol")):
        with pytest.raises(UsageError) as caught:
            load_protocol(given)
        assert str(caught.value).startswith(where)
        for words in named:
            assert words in str(caught.value)


def _plain(content):
    """Decimals as YAML writes floats."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_plain(value) for value in content]
    return float(content) if isinstance(content, Decimal) else content


@pytest.mark.parametrize(
    "major", [{"clavien-dindo": "VI"}, {"sir": "D"}, {"sir-2003": "d"}, {"clavien-dindo": "none"}]
)
def test_a_major_grade_that_is_none_is_named(major):
    protocol = load_protocol(_protocol(complications__major={**MAJOR, **major}))
    with pytest.raises(UsageError, match=r"complications\.major"):
        RunConfig(load_mappings(), protocol, date(2017, 12, 31), Settings())


MAJOR = {"clavien-dindo": "IIIb", "sir-2003": "D"}
RESOURCES = [
    procedure(),
    psa("a", "2016-05-01", 1),
    condition("c", "2016-05-01"),
    adverse_event("e", "2016-01-11"),
    response("r", "2016-01-01", [1, 2, 3, 4, 5]),
    response("s", "2016-07-10", [1, 2, 3, 4, 4]),
]


@pytest.mark.parametrize("major", [{}, {"clavien-dindo": "IIIb"}, {"sir-2003": "D"}])
def test_a_protocol_that_leaves_a_scale_out_is_refused_or_computed(major):
    """It is a usage error or it computes; it is never an error of the program."""
    with contextlib.suppress(UsageError):
        protocol = load_protocol(_protocol(complications__major=major))
        done = compute_resources(RESOURCES, as_of=date(2017, 12, 31), protocol=protocol)
        assert value(done.observations, "adverse-event-count") == 1


def test_a_protocol_may_have_other_time_points():
    points = {"baseline": {"days_before": 30}, "2-years": {"target": 24, "from": 20, "to": 28}}
    protocol = load_protocol(_protocol(time_points=points, published=[]))
    later = response("t", "2018-01-11", [1, 1, 1, 1, 1])
    done = compute_resources([*RESOURCES, later], as_of=date(2018, 12, 31), protocol=protocol)
    scores = [
        part["valueCodeableConcept"]["coding"][0]["code"]
        for one in done.observations
        if one["code"]["coding"][0]["code"] == "prom-score-iief-5"
        for part in one["component"]
        if part["code"]["coding"][0]["code"] == "time-point"
    ]
    assert scores == ["baseline", "2-years"]


@pytest.mark.parametrize("name", ["no-such", "../bomers-2020", "bomers-2020.yml", "", "/", "."])
def test_a_protocol_that_is_not_there_is_a_usage_error(name):
    with pytest.raises(UsageError):
        load_protocol(name)


def test_numbers_are_exact(tmp_path):
    text = PROTOCOL.read_text(encoding="utf-8")
    text = text.replace("id: bomers-2020", "id: ours")
    text = text.replace("nadir_limit_max: 0.5", "nadir_limit_max: 0.1")
    text = text.replace("rise: 2.0", "rise: 2.10000000000000000000001")
    protocol = load_protocol(_written(tmp_path, text))
    assert protocol.psa.nadir_limit_max == Decimal("0.1")
    assert protocol.biochemical_failure.rise == Decimal("2.10000000000000000000001")
    assert load_mappings().units["ng/dL"] == Decimal("0.01")
    assert load_mappings().units["pg/mL"] == Decimal("0.001")


def test_the_shipped_protocol_is_the_definitions():
    protocol = load_protocol()
    assert protocol.name == "bomers-2020 2.0"
    assert protocol.psa.baseline_days == 180
    assert protocol.psa.nadir_limit_max == Decimal("0.5")
    assert protocol.biochemical_failure.rise == Decimal("2.0")
    assert protocol.complications.major == MAJOR
    assert protocol.complications.ungraded_means_minor is False
    assert load_protocol(PROTOCOL) == protocol
    assert load_protocol(read_yaml(PROTOCOL)) == protocol
