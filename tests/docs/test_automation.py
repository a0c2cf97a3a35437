"""What runs by itself (CI, hooks) runs what people run: targets of the Makefile."""

import re
from pathlib import Path

import pytest
import yaml

import fhircryo
from tests.docs.make_targets import make_targets

ROOT = Path(__file__).parents[2]
CI = [".github/workflows/ci.yml", ".gitlab-ci.yml"]
AUTOMATION = [*CI, ".ci/run", ".github/workflows/nightly.yml", ".pre-commit-config.yaml"]
_MAKE = re.compile(r"^ *(?:- )?(?:run: |entry: |exec )?make (\S+)$", re.MULTILINE)


@pytest.mark.parametrize("name", AUTOMATION)
def test_only_targets_that_exist_are_named(name):
    named = _MAKE.findall((ROOT / name).read_text(encoding="utf-8"))
    assert named
    assert set(named) <= make_targets()


@pytest.mark.parametrize("name", CI)
def test_ci_runs_every_test(name):
    assert re.search(r"^\s*- (run: )?make test$", (ROOT / name).read_text("utf-8"), re.MULTILINE)


def test_every_kind_of_test_has_a_target():
    kinds = {file.parent.name for file in (ROOT / "tests").glob("*/test_*.py")}
    assert {f"test-{kind}" for kind in kinds} <= make_targets()


def test_every_target_of_the_makefile_is_no_file():
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    phony = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == make_targets()


def test_hooks_are_local_and_call_what_the_environment_has():
    """A hook that is fetched is another version than the one that the lock names."""
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [one["repo"] for one in content["repos"]] == ["local"]
    for hook in content["repos"][0]["hooks"]:
        program = hook["entry"].split()[0]
        assert hook["language"] == "system"
        assert program == "make" or program.startswith(".venv/bin/")


def test_the_citation_is_of_this_version():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert content["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= content.keys()
    assert (content["title"], content["license"]) == ("fhircryo", "Apache-2.0")
    assert content["version"] == fhircryo.__version__
    assert re.search(
        rf"^## {re.escape(fhircryo.__version__)}, {content['date-released']}$",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
