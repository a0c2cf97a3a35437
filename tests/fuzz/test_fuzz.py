"""The fuzzer finds nothing in the first inputs of its first seed, and can find something."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from unittest import mock

import pytest

from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.publish.folder_output import FolderOutput
from fhircryo.runs.in_memory import read_resources
from fhircryo.runs.publish_patients import PublishCounts
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.summary import Summary, sum_up
from fhircryo.settings import Settings
from tests.fuzz import checks, inputs, oracles
from tests.fuzz.checks import check
from tests.fuzz.minimise import minimised
from tests.fuzz.program import SECRET, quick_runs
from tests.fuzz.seeds import ROOT, seeds
from tests.unit.inputs import AS_OF

SECONDS = os.environ.get("FUZZ_SECONDS", "120")


@pytest.mark.slow
def test_the_fuzzer_finds_nothing():
    """In a process of its own: it sets an alarm, and watches the memory."""
    command = [sys.executable, "-m", "tests.fuzz", "--seed", "1", "--seconds", SECONDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "inputs, seed 1" in done.stdout


def test_an_input_follows_from_its_name():
    """Whatever inputs were made before it."""
    names = [f"7:{number}" for number in range(30)]
    before = {name: inputs.made(name) for name in names}
    assert all(inputs.made(name) == before[name] for name in reversed(names))
    assert before["7:3"].files != before["7:4"].files


def test_bystanders_have_every_type_and_every_scale():
    """Otherwise a mutated resource would rightly change their endpoints."""
    mappings = load_mappings((inputs.SITE,))
    config = RunConfig(mappings, load_protocol("bomers-2020"), AS_OF, Settings())
    lacking = read_resources(seeds().bystanders, config).lacking
    assert not any((lacking.conditions, lacking.adverse_events, lacking.medications))
    assert lacking.graded == {"clavien-dindo", "sir-2003", "ctcae-grade"}


def _raises(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def _prints(text: str) -> Callable[..., None]:
    return lambda *_, **__: print(text, file=sys.stderr)


def _one_more(read: ReadResult, config: RunConfig, total: PublishCounts) -> Summary:
    made = sum_up(read, config, total)
    made.used += 1
    return made


def _no_json(*_: object) -> FolderOutput:
    return FolderOutput(b"{]\n", b"")


# A defect: what is replaced, by what, and the kind of the finding.
SUMMARY = "fhircryo.cli.compute.print_summary"
DEFECTS = {
    "a bug": (SUMMARY, _raises(ZeroDivisionError()), "traceback"),
    "an exit code": (SUMMARY, _raises(SystemExit(5)), "compute: exit 5"),
    "a control character": (SUMMARY, _prints("\x1b[2J"), "compute: raw characters on stderr"),
    "a forged direction": (SUMMARY, _prints("\u202e"), "compute: raw characters on stderr"),
    "a secret": (SUMMARY, _prints(SECRET), "compute: secret on stderr"),
    "a count": ("fhircryo.runs.to_folder.sum_up", _one_more, "read = used + not used"),
    "an issue": ("fhircryo.runs.to_folder.write_other_issues", _prints(""), "issues = not used"),
    "a line": ("fhircryo.publish.folder_output.FolderOutputMaker.make", _no_json, "Observation"),
    "slow": (SUMMARY, lambda *_, **__: _spend(2.0), "compute: slow"),
}


def _spend(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize("case", DEFECTS)
def test_a_defect_is_found(case, tmp_path):
    target, defect, kind = DEFECTS[case]
    given = inputs.Input("test", "2017-12-31", [], [], {})
    with quick_runs(tmp_path):
        assert check(given, tmp_path / "sound") is None
        with mock.patch(target, defect):
            found = check(given, tmp_path / "defect")
    assert found is not None
    assert found.kind.startswith(kind)


def test_a_change_of_another_patient_is_found(tmp_path):
    """As the input without mutations, with one endpoint less."""
    given = inputs.Input("test", "2017-12-31", [], [], {})
    with quick_runs(tmp_path), mock.patch.dict(checks.REFERENCE, {("2017-12-31", False): []}):
        found = check(given, tmp_path / "in")
    assert found is not None
    assert found.kind == "another patient's endpoints changed"


def test_commands_that_disagree_are_found(tmp_path):
    published = {("metastasis", ""): ("final", "Y")}
    told = {"endpoint": "metastasis", "time_point": "", "status": "final", "value": "Y"}
    oracles.check_explanation({"endpoints": [told]}, published)
    for wrong in ({"value": "N"}, {"status": "preliminary"}, {"endpoint": "local-recurrence"}):
        with pytest.raises(oracles.Finding):
            oracles.check_explanation({"endpoints": [told | wrong]}, published)
    table = tmp_path / "endpoints.csv"
    for value in ("Y", "N"):
        table.write_text(
            "patient,endpoint,time_point,value,status,absent\n"
            f"p1,metastasis,follow-up,{value},final,\n",
            encoding="utf-8",
        )
        if value == "Y":
            oracles.check_table(table, {"p1": published})
            continue
        with pytest.raises(oracles.Finding):
            oracles.check_table(table, {"p1": published})


def test_another_arrangement_with_another_result_is_found(tmp_path):
    for name, content in (("one", b"a\nb\n"), ("two", b"a\nb\n"), ("three", b"b\na\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(content)
    checks.expect_same(tmp_path / "one", tmp_path / "two", "order", {"x"})
    with pytest.raises(oracles.Finding):
        checks.expect_same(tmp_path / "one", tmp_path / "three", "order", {"x"})


def test_a_finding_is_made_smaller():
    given = inputs.made("1:2")
    given.files = inputs.arrange.plainly(given.trees)
    wanted = given.trees[3]

    def fails(smaller: inputs.Input) -> bool:
        return any(tree == wanted for tree in smaller.trees)

    assert minimised(given, fails).trees == [wanted]
