"""What a site copies for its own CI: YAML that parses, and commands that exist."""

import re
import stat
from pathlib import Path

import pytest
import yaml

from tests.docs.test_docs import assert_command_exists

CI = Path(__file__).parents[2] / "examples" / "ci"
FILES = sorted(path for path in CI.rglob("*") if path.is_file())
YAML = [path for path in FILES if path.suffix == ".yml"]
_COMMAND = re.compile(r"^ *(?:- |run: )*(fhircryo \S.*)$", re.MULTILINE)


def commands(path: Path) -> list[str]:
    """The commands of ours in a file, comments included: they are copied as well."""
    text = re.sub(r"^ *#+ *", "", path.read_text("utf-8"), flags=re.MULTILINE)
    return [line.split(" >")[0] for line in _COMMAND.findall(text)]  # a redirection is the shell's


def test_every_file_is_of_a_known_kind():
    assert {path.suffix for path in FILES} == {".sh", ".yml"}
    assert len(YAML) == 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_exists_with_its_options(path):
    found = commands(path)
    assert found or path.name == "workflow.yml"
    for line in found:
        assert_command_exists(line)


def test_a_command_that_does_not_exist_is_found():
    with pytest.raises(AssertionError):
        assert_command_exists("fhircryo hapi --lode sample")


def test_the_script_runs_what_the_page_says():
    script = (CI / "check-mappings.sh").read_text("utf-8")
    for words in ("mappings check", "mappings test", "doctor", "compute", "--validate"):
        assert words in script
    assert "set -eu" in script
    assert not stat.S_IMODE((CI / "check-mappings.sh").stat().st_mode) & 0o002


def test_the_action_is_a_composite_one_and_its_inputs_reach_the_script():
    action = yaml.safe_load((CI / "github/check-mappings/action.yml").read_text("utf-8"))
    assert action["runs"]["using"] == "composite"
    steps = action["runs"]["steps"]
    # A step that runs something must name its shell in a composite action.
    assert all("shell" in step for step in steps if "run" in step)
    # An input within a command would be run by the shell as it is written.
    assert not [step for step in steps if "${{" in step.get("run", "")]
    used = set(re.findall(r"inputs\.([a-z-]+)", str(steps)))
    assert used == set(action["inputs"])
    script = (CI / "check-mappings.sh").read_text("utf-8")
    given = steps[-1]["env"]
    assert {name for name in given if f"${{{name}:-" in script} == {"MAPPINGS", "CASES", "AS_OF"}
    assert (CI / "github/check-mappings" / "../../check-mappings.sh").resolve().is_file()


def test_the_workflow_gives_the_action_inputs_that_it_has():
    action = yaml.safe_load((CI / "github/check-mappings/action.yml").read_text("utf-8"))
    workflow = yaml.safe_load((CI / "github/workflow.yml").read_text("utf-8"))
    step = workflow["jobs"]["check"]["steps"][-1]
    assert step["uses"].endswith("/github/check-mappings")
    required = {name for name, one in action["inputs"].items() if one.get("required")}
    assert required <= set(step["with"]) <= set(action["inputs"])


def test_the_template_keeps_the_server_that_its_command_fetches():
    job = yaml.safe_load((CI / "gitlab.yml").read_text("utf-8"))[".check-mappings"]
    assert job["cache"]["paths"] == [".cache/hapi"]
    [command] = job["script"]
    assert "--cache .cache/hapi" in command
    assert {"MAPPINGS", "CASES", "SAMPLE", "AS_OF"} <= set(job["variables"])
