"""The commands: what they print, what they write, and how they end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.inputs import (
    COHORT,
    HTEST,
    adverse_event,
    cli,
    condition,
    folder,
    lab,
    line,
    lines,
    merged,
    meta,
    patient,
    patients_of,
    procedure,
    psa,
    response,
    value,
)

AS_OF = ("--as-of", "2017-12-31")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Run in an empty folder, without settings from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FHIRCRYO_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def source(tmp_path) -> Path:
    """p1 and p2 in the cohort, p3 without a procedure."""
    return folder(
        tmp_path / "in",
        {
            "Patient.ndjson": [patient(one) for one in ("p1", "p2", "p3")],
            "Procedure.ndjson": [procedure(), procedure("x2", of="p2")],
            "Observation.ndjson": [
                psa("a", "2016-03-01", 1),
                psa("b", "2016-06-01", 0.5),
                psa("c", "2016-03-01", 2, of="p2"),
                psa("d", "2016-03-01", 3, of="p3"),
                lab("l"),
                lab("m", of="p3"),
            ],
        },
    )


def _observations(target: Path | str) -> list[dict]:
    return [json.loads(one) for one in (Path(target) / "Observation.ndjson").open()]


def _manifest(target: Path | str) -> dict:
    return json.loads((Path(target) / "manifest.json").read_text())


def _listed(tmp_path: Path, *names: str) -> Path:
    path = tmp_path / "list.txt"
    path.write_text("\n".join(names), encoding="utf-8")
    return path


def test_compute(source):
    ran = cli("compute", source, "out", *AS_OF)
    assert (ran.code, ran.out) == (0, "")
    assert patients_of(_observations("out")) == {"p1", "p2"}
    for words in ("patients", "in cohort", "endpoints", "not used", "not-in-cohort"):
        assert words in ran.err
    counts = _manifest("out")["counts"]
    assert (counts["patients"], counts["cohort"]) == (3, 2)
    assert _manifest("out")["as_of"] == "2017-12-31"
    assert len(_manifest("out")["inputs"]) == 3


def test_without_as_of_it_is_today(source):
    from datetime import date

    before = date.today()
    assert cli("compute", source, "out").code == 0
    assert before.isoformat() <= _manifest("out")["as_of"] <= date.today().isoformat()


@pytest.mark.parametrize(
    "text",
    [
        *("tomorrow", "2017-13-01", "2017-02-29", "2017", "2017-12", "31-12-2017", "", "20171231"),
        *("2017-W52-7", "2017-12-31T00:00:00", " 2017-12-31"),
    ],
)
def test_a_bad_date_is_a_usage_error(text, source):
    ran = cli("compute", source, "out", "--as-of", text)
    assert ran.code == 2
    assert "2017-12-31" in ran.err
    assert not Path("out").exists()


def test_a_missing_source(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for source in ("nowhere", "file", "https://fhir.example.org/r4"):
        for arguments in (["compute", source, "out"], ["explain", source, "p1"]):
            ran = cli(*arguments)
            assert ran.code == 3
            assert source.split("/", 1)[0] in ran.err
            assert "Traceback" not in ran.err
    assert not Path("out").exists()


def test_an_empty_source(tmp_path):
    (tmp_path / "in").mkdir()
    assert cli("compute", "in", "out").code == 3
    assert cli("explain", "in", "p1").code == 3
    assert not Path("out").exists()


def test_a_source_without_a_cohort_says_so(tmp_path):
    folder(tmp_path / "in", {"Patient.ndjson": [patient("p1")]})
    ran = cli("compute", "in", "out", *AS_OF)
    assert ran.code == 0
    assert "--mappings" in ran.err
    assert _observations("out") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["compute", "in"],
        ["compute", "in", "out", "--protocol", "astro-1996"],
        ["compute", "in", "out", "--protocol", "none.yaml"],
        ["compute", "in", "out", "--mappings", "none.yaml"],
        ["compute", "in", "out", "--patients", "none.txt"],
        ["compute", "in", "out", "--exclude", "none.txt"],
        ["compute", "in", "out", "--exclude", "in"],
        ["compute", "in", "out", "--workers", "-1"],
        ["compute", "in", "out", "--no-such"],
        ["explain", "in", "nobody"],
        ["explain", "in", "p1", "--endpoint", "psa"],
        ["explain", "in", "p1", "--endpoint", "prom-score-phq-9"],
        ["mappings", "check", "none.yaml"],
        ["protocols", "show", "none"],
        ["no-such"],
    ],
)
def test_wrong_arguments_are_usage_errors(arguments, source):
    ran = cli(*arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert ran.err
    assert not Path("out").exists()


COMMANDS = [
    ["compute"],
    ["explain"],
    ["demo"],
    ["mappings", "check"],
    ["protocols", "list"],
    ["protocols", "show"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_an_example(command):
    ran = cli(*command, "--help")
    assert ran.code == 0
    assert "Example:" in ran.out
    assert f"fhircryo {' '.join(command)}" in ran.out


def test_the_other_commands():
    assert "bomers-2020" in cli("protocols", "list").out
    assert cli("protocols", "show", "bomers-2020").out.startswith("#")
    assert "all as expected" in cli("mappings", "check").out
    assert cli("--version").out.startswith("fhircryo ")


# ------------------------------------------------------------------ requested, objected


@pytest.mark.parametrize("text", ["p1", "Patient/p1", "# remark\n\n p1  # him\n", "\ufeffp1\r\n"])
def test_only_the_requested_patients_are_computed(text, source, tmp_path):
    ran = cli("compute", source, "out", *AS_OF, "--patients", _listed(tmp_path, text))
    assert ran.code == 0
    assert patients_of(_observations("out")) == {"p1"}
    assert value(_observations("out"), "psa-nadir") == 0.5
    assert "UNKNOWN" not in ran.err


def test_a_requested_patient_who_is_not_in_the_source_is_named(source, tmp_path):
    ran = cli("compute", source, "out", *AS_OF, "--patients", _listed(tmp_path, "p1", "p99"))
    assert ran.code == 0
    assert "UNKNOWN: Patient/p99" in ran.err
    assert _manifest("out")["counts"]["unknown_patients"] == ["p99"]


def test_a_patient_outside_the_cohort_is_not_unknown(source, tmp_path):
    ran = cli("compute", source, "out", *AS_OF, "--patients", _listed(tmp_path, "p1", "p3"))
    assert patients_of(_observations("out")) == {"p1"}
    assert "UNKNOWN" not in ran.err


@pytest.mark.parametrize("text", ["p1 p2", "p1,p2", "p1;p2", "Patient/"])
def test_a_list_with_something_else_is_a_usage_error(text, source, tmp_path):
    ran = cli("compute", source, "out", *AS_OF, "--patients", _listed(tmp_path, "p3", text))
    assert ran.code == 2
    assert "list.txt:2" in ran.err


def _objector(of: str = "OBJ") -> dict[str, list | bytes]:
    """The resources of a patient who objected, one for each reason that a report could name."""
    identifier = [{"system": "https://w3id.org/fhircryo/endpoint", "value": "e-OBJ"}]
    return {
        "Patient.2.ndjson": [patient(of, deceasedBoolean=True), patient(of, meta=meta(None, "2"))],
        "Procedure.2.ndjson": [
            procedure("x-OBJ", of=of),
            procedure("y-OBJ", "2016", of=of),
            procedure("z-OBJ", of=of, status="not-done"),
            procedure("w-OBJ", of=of, meta=HTEST),
        ],
        "Observation.2.ndjson": [
            psa("a-OBJ", "2016-03-01", 1, of=of),
            psa("a-OBJ", "2016-03-01", 1, of=of, meta=meta("2017-01-01T00:00:00Z")),
            psa("b-OBJ", "2016-03-01", 1, of=of, unit="?"),
            psa("c-OBJ", "2016-03-01", 1, of=of, status="entered-in-error"),
            psa("d-OBJ", "2016-03-01", 1, of=of, meta=HTEST),
            psa("e-OBJ", "2016-03-01", 1, of=of, identifier=identifier),
            psa("f-OBJ", "2036-03-01", 1, of=of),
            psa("g-OBJ", None, 1, of=of),
            lab("h-OBJ", of=of),
        ],
        "AdverseEvent.2.ndjson": [
            adverse_event("a-OBJ", "2016-03-01", of=of),
            adverse_event("b-OBJ", "2016-03-01", of=of, actuality="potential"),
            adverse_event("c-OBJ", "2016-03-01", of=of, meta=HTEST),
        ],
        "Condition.2.ndjson": [
            condition("a-OBJ", "2016", of=of),
            condition("b-OBJ", "2016-05-01", of=of, meta=HTEST),
        ],
        "QuestionnaireResponse.2.ndjson": [
            response("a-OBJ", "2016-01-01", [1, 2, 3, 4, 5], of=of),
            response("b-OBJ", "2016-01-01", [1, 2, 3, 4, 9], of=of),
            response("c-OBJ", "2016-01-01", [1], of=of, questionnaire="http://a.org/x"),
        ],
        "broken.ndjson": lines(
            line(psa("x-OBJ", "2016-03-01", 1, of=of))[:-9],
            psa("y-OBJ", "2016-03-01", "1", of=of),
            {**psa("z-OBJ", "2016-03-01", 1, of=of), "resourceType": "Obs"},
            {**psa("z-OBJ", "2016-03-01", 1, of=of), "status": 5},
        ),
    }


@pytest.mark.parametrize(
    "how", ["himself", "replaced", "successor", "asked for as well", "labelled"]
)
def test_a_patient_who_objected_is_neither_computed_nor_named(how, source, tmp_path):
    files = _objector()
    objected = ["OBJ"]
    if how == "replaced":
        files["Patient.3.ndjson"] = [merged("old-OBJ", into="OBJ")]
        files["Observation.3.ndjson"] = [psa("old-a-OBJ", "2016-04-01", 2, of="old-OBJ", unit="?")]
        objected = ["old-OBJ"]
    elif how == "successor":
        files["Patient.3.ndjson"] = [merged("OBJ", into="new-OBJ"), patient("new-OBJ")]
        files["Observation.3.ndjson"] = [psa("new-a-OBJ", "2016-04-01", 2, of="new-OBJ", unit="?")]
    elif how == "labelled":
        files["Patient.2.ndjson"] = [patient("OBJ", meta=HTEST)]
    folder(source, files)
    arguments = ["--exclude", _listed(tmp_path, *objected)]
    if how == "asked for as well":
        wanted = tmp_path / "wanted.txt"
        wanted.write_text("p1\np2\nOBJ\n")
        arguments += ["--patients", wanted]
    ran = cli("compute", source, "out", *AS_OF, *arguments)
    assert ran.code == 4
    assert patients_of(_observations("out")) == {"p1", "p2"}
    assert "OBJ" not in ran.err + ran.out
    for file in Path("out").iterdir():
        assert b"OBJ" not in file.read_bytes(), file.name


def test_a_requested_patient_without_procedure_who_objected_is_not_named(source, tmp_path):
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("p1\np3\n")
    listed = _listed(tmp_path, "p3")
    ran = cli("compute", source, "out", *AS_OF, "--patients", wanted, "--exclude", listed)
    assert patients_of(_observations("out")) == {"p1"}
    assert "p3" not in ran.err
    for file in Path("out").iterdir():
        # As a word: the name of a Provenance may begin like this.
        assert not re.search(rb"\bp3\b", file.read_bytes()), file.name


# ------------------------------------------------------------------ explain


def test_explain_prints_time_line_and_endpoints(source):
    ran = cli("explain", source, "Patient/p1", *AS_OF)
    assert ran.code == 0
    for words in ("TIME LINE", "index procedure", "PSA 0.5 ng/mL", "ENDPOINTS", "psa-nadir: 0.5"):
        assert words in ran.out


def test_explain_as_json(source):
    ran = cli("explain", source, "p1", *AS_OF, "--json")
    story = json.loads(ran.out)
    assert ran.code == 0
    assert story["patient"] == "p1"
    assert {explained["endpoint"] for explained in story["endpoints"]} > {"psa-nadir", "metastasis"}


@pytest.mark.parametrize("endpoint", ["psa-nadir", "prom-score-iief-5"])
def test_explain_one_endpoint(endpoint, source):
    ran = cli("explain", source, "p1", *AS_OF, "--endpoint", endpoint, "--json")
    assert ran.code == 0
    assert {explained["endpoint"] for explained in json.loads(ran.out)["endpoints"]} <= {endpoint}


def test_explain_several_patients(source, tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("p1\np2\n")
    ran = cli("explain", source, "--patients", file, *AS_OF, "--json")
    one = cli("explain", source, "p1", *AS_OF, "--json")
    stories = json.loads(ran.out)
    assert [story["patient"] for story in stories] == ["p1", "p2"]
    assert stories[0] == json.loads(one.out)
    assert "Patient/p2" in cli("explain", source, "--patients", file, *AS_OF).out
    for both_or_neither in ([], ["p1", "--patients", file]):
        assert cli("explain", source, *both_or_neither).code == 2


def test_explain_of_an_unknown_patient_is_a_usage_error(source):
    ran = cli("explain", source, "p99", *AS_OF)
    assert ran.code == 2
    assert "Patient/p99 is not in this source" in ran.err
    assert ran.out == ""


def test_explain_of_a_patient_without_procedures_is_not_called_unknown(tmp_path):
    resources = [procedure(), psa("a", "2016-03-01", 1, of="p2"), patient("p3")]
    source = folder(tmp_path / "in", {"a.ndjson": resources})
    for name in ("p2", "p3"):
        ran = cli("explain", source, name, *AS_OF)
        assert ran.code == 2
        assert f"Patient/{name} is in this source, but has no index procedure" in ran.err


def test_explain_shows_baseline_and_why_something_is_not_used(tmp_path):
    resources = [procedure(), psa("a", "2016-01-12", 155), psa("b", "2016-03-01", 1)]
    ran = cli("explain", folder(tmp_path / "in", {"a.ndjson": resources}), "p1", *AS_OF)
    assert "BASELINE" in ran.out
    assert "baseline PSA" in ran.out
    unused = ran.out.partition("NOT USED")[2]
    assert "Observation/a" in unused
    assert "early-psa  a PSA too soon after the index procedure" in unused


def test_explain_of_a_patient_outside_the_cohort_says_so(source):
    for arguments in ([source, "p3", *AS_OF], [source, "p1", "--as-of", "2015-12-31"]):
        ran = cli("explain", *arguments)
        assert ran.code in (0, 2)
        assert "no index procedure" in (ran.out + ran.err).lower()


@pytest.mark.slow
def test_explain_patients_of_the_cohort():
    names = [json.loads(one)["id"] for one in (COHORT / "Patient.ndjson").open()]
    explained = 0
    for name in [*names[:4], *names[-4:]]:
        ran = cli("explain", COHORT, name, *AS_OF, "--json")
        if ran.code == 2:
            assert "no index procedure" in ran.err
        else:
            assert ran.code == 0
            explained += bool(json.loads(ran.out)["endpoints"])
    assert explained >= 4


# ------------------------------------------------------------------ settings


def _settings(text: str) -> None:
    Path("fhircryo.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("by", ["file", "environment", "both"])
def test_the_time_zone_changes_the_date(by, tmp_path, monkeypatch):
    # D0 + 27 days in UTC, which is too early; a day later in Amsterdam.
    results = [psa("a", "2016-02-06T23:30:00Z", 1)]
    source = folder(tmp_path / "in", {"a.ndjson": [procedure(), *results]})
    assert cli("compute", source, "out", *AS_OF).code == 0
    assert value(_observations("out"), "psa-nadir") == "absent too-few-psa"
    if by in ("file", "both"):
        _settings(f'timezone = "{"Europe/Amsterdam" if by == "file" else "America/New_York"}"\n')
    if by in ("environment", "both"):
        monkeypatch.setenv("FHIRCRYO_TIMEZONE", "Europe/Amsterdam")
    assert cli("compute", source, "out", *AS_OF).code == 0
    assert value(_observations("out"), "psa-nadir") == 1


@pytest.mark.parametrize("by", ["file", "environment"])
def test_types_declared_complete(by, source, monkeypatch):
    ran = cli("compute", source, "out", *AS_OF)
    assert ran.err.startswith("LACKING: no Condition")
    assert value(_observations("out"), "metastasis") == "absent source-lacks-type"
    assert value(_observations("out"), "adverse-event-count") == "absent source-lacks-type"
    if by == "file":
        _settings('complete_types = ["Condition"]\n')
    else:
        monkeypatch.setenv("FHIRCRYO_COMPLETE_TYPES", "Condition, Procedure")
    ran = cli("compute", source, "out", *AS_OF)
    assert "no Condition" not in ran.err
    assert value(_observations("out"), "metastasis") == "N"
    assert value(_observations("out"), "adverse-event-count") == "absent source-lacks-type"


@pytest.mark.slow
def test_the_base_is_in_every_url(source):
    _settings('base = "https://example.org/ours"\n')
    assert cli("compute", source, "out", *AS_OF).code == 0
    for file in Path("out").iterdir():
        assert b"w3id.org" not in file.read_bytes(), file.name
    one = _observations("out")[0]
    assert one["identifier"][0]["system"] == "https://example.org/ours/endpoint"


def test_the_source_s_name_changes_every_identifier(source):
    cli("compute", source, "out", *AS_OF)
    before = {one["id"] for one in _observations("out")}
    _settings('source_name = "north"\n')
    cli("compute", source, "out", *AS_OF)
    assert before.isdisjoint(one["id"] for one in _observations("out"))


def test_protocol_and_mappings_of_the_settings(source, tmp_path):
    text = cli("protocols", "show", "bomers-2020").out.replace("id: bomers-2020", "id: ours")
    (tmp_path / "ours.yaml").write_text(text, encoding="utf-8")
    site = '{concepts: {metastasis: {codes: [{system: "http://a.org", code: M, verified: x}]}}}'
    (tmp_path / "site.yaml").write_text(site, encoding="utf-8")
    _settings('protocol = "ours.yaml"\nmappings = ["site.yaml"]\n')
    assert cli("compute", source, "out", *AS_OF).code == 0
    assert _manifest("out")["protocol"]["id"] == "ours"
    assert "site.yaml" in _manifest("out")["mappings"]["files"]
    ran = cli("compute", source, "out", *AS_OF, "--protocol", "bomers-2020")
    assert ran.code == 0
    assert _manifest("out")["protocol"]["id"] == "bomers-2020"


WRONG_SETTINGS = {
    "not TOML": "timezone = \n",
    "a key twice": 'base = "http://a.b/c"\nbase = "http://a.b/d"\n',
    "unknown": 'timezon = "Europe/Amsterdam"\n',
    "unknown time zone": 'timezone = "Europe/Amsterdm"\n',
    "time zone a number": "timezone = 1\n",
    "base is no URL": 'base = "here"\n',
    "base ends in a slash": 'base = "https://example.org/"\n',
    "types a number": "complete_types = 5\n",
    "a type that there is not": 'complete_types = ["Conditon"]\n',
    "test data a text": 'test_data = "perhaps"\n',
    "protocol is not there": 'protocol = "none"\n',
    "mappings a text": 'mappings = "site.yaml"\n',
    "mappings are not there": 'mappings = ["none.yaml"]\n',
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
@pytest.mark.parametrize("command", ["compute", "explain"])
def test_wrong_settings_are_usage_errors(case, command, source):
    _settings(WRONG_SETTINGS[case])
    ran = cli(command, source, "out" if command == "compute" else "p1", *AS_OF)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert not Path("out").exists()


def test_settings_in_another_encoding_are_a_usage_error(source):
    Path("fhircryo.toml").write_bytes(b'source_name = "M\xfcnchen"\n')
    assert cli("compute", source, "out", *AS_OF).code == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FHIRCRYO_TIMEZONE", "Mars/Phobos"),
        ("FHIRCRYO_COMPLETE_TYPES", "Condition,Conditon"),
        ("FHIRCRYO_BASE", "x"),
        ("FHIRCRYO_TEST_DATA", "perhaps"),
        ("FHIRCRYO_TIMEZON", "Europe/Amsterdam"),
    ],
)
def test_wrong_environment_is_a_usage_error(name, text, source, monkeypatch):
    monkeypatch.setenv(name, text)
    ran = cli("compute", source, "out", *AS_OF)
    assert ran.code == 2
    assert name.removeprefix("FHIRCRYO_").lower() in ran.err.lower()


def test_the_demo_ignores_the_settings():
    _settings('timezone = "Asia/Tokyo"\nprotocol = "none"\nsource_name = "x"\n')
    ran = cli("demo")
    assert ran.code == 0
    assert "DIFFERS" not in ran.out


# ------------------------------------------------------------------ pipes


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "fhircryo", *map(str, arguments)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["explain", COHORT, "PATIENT"], ["protocols", "show", "bomers-2020"], ["demo"]]
)
def test_a_closed_pipe_is_no_error(arguments):
    name = json.loads((COHORT / "Patient.ndjson").open().readline())["id"]
    command = _command(*[name if one == "PATIENT" else one for one in arguments])
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert b"Traceback" not in ran.stderr
    assert b"Exception" not in ran.stderr
    assert ran.returncode == 0


@pytest.mark.slow
def test_into_head(tmp_path):
    shell = f"{sys.executable} -m fhircryo protocols show bomers-2020 | head -n 1"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=60, check=False)
    assert ran.stdout.count(b"\n") == 1
    assert ran.stderr == b""


@pytest.mark.slow
def test_results_are_text_in_any_locale(source):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    for arguments in (["demo"], ["explain", source, "p1", *AS_OF], ["protocols", "list"]):
        ran = subprocess.run(
            _command(*arguments), capture_output=True, env=environment, timeout=60, check=False
        )
        assert b"Traceback" not in ran.stderr
        assert ran.returncode == 0


def test_a_target_that_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_TARGET__RETRY_BUDGET", "0")
    ran = cli("compute", COHORT, "http://127.0.0.1:9/fhir")
    assert ran.code == 5
    assert "TARGET: http://127.0.0.1:9/fhir/metadata: cannot be reached" in ran.err
    assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []
