"""The documentation: generated pages fresh, links whole, what is shown true."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import typer

from fhircryo.cli.main import app
from fhircryo.record.items import Reason
from fhircryo.settings import ServerSettings, Settings, SyncSettings, WriteSettings
from tests.docs.make_targets import make_targets
from tests.unit.inputs import Ran, cli

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "examples/bomers-2020"
AS_OF = "2017-12-31"
#: Written by hand, for users: what they show is run.
FOR_USERS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
]
_HIDDEN = {".ci", ".github"}
_NOT_OURS = {"out", "out2", "dist", "build", "__pycache__", "node_modules"}
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_LEFT_OUT = "..."


def files() -> Iterator[Path]:
    """The project's files in the checkout; hidden folders hold caches, but for those named."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _NOT_OURS and (name in _HIDDEN or not name.startswith("."))
        )
        # In a worktree .git is a file, with the path of the repository.
        yield from (Path(folder) / name for name in names if name != ".git")


PAGES = sorted(path for path in files() if path.suffix == ".md")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def renderer(name: str = "render_cli") -> Any:
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = module_from_spec(spec)
    before = dict(os.environ)
    spec.loader.exec_module(module)
    os.environ.clear()
    os.environ.update(before)
    return module


def run(*arguments: object, folder: Path = ROOT) -> Ran:
    """Run a command in a folder, as on a terminal of 100 columns, without anybody's settings."""
    settings = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("FHIRCRYO_")
    }
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment | settings, clear=True),
    ):
        return cli(*arguments)


def commands() -> dict[tuple[str, ...], Any]:
    """The commands that do something, by their words."""
    found = {}
    for path in renderer().commands():
        command = typer.main.get_command(app)
        for word in path:
            command = command.commands[word]
        if not hasattr(command, "commands"):
            found[path] = command
    return found


# --------------------------------------------------------------------------- generated pages


def test_generated_pages_are_fresh(capsys):
    assert renderer().main(["--check"]) == 0, "run make docs"
    assert capsys.readouterr().err == ""


def test_the_picture_of_explain_is_fresh():
    command = [sys.executable, str(ROOT / "docs" / "render_explain.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run make docs"
    assert "@font-face" not in (ROOT / "docs" / "explain.svg").read_text("utf-8")


def test_the_page_of_profiles_is_fresh(tmp_path, monkeypatch, capsys):
    module = renderer("render_profiles")
    assert module.main(["--check"]) == 0, "run make docs"
    monkeypatch.setattr(module, "PAGE", tmp_path / "profiles.md")
    assert module.main(["--check"]) == 1
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
    assert capsys.readouterr().err == "profiles.md is out of date: run make docs\n"


@pytest.mark.parametrize(
    "page", ["cli.md", "exit-codes.md", "reasons.md", "columns.md", "overlay.schema.json"]
)
def test_a_stale_page_is_found(page, tmp_path, monkeypatch):
    module = renderer()
    monkeypatch.setattr(module, "REFERENCE", tmp_path)
    monkeypatch.setattr(module, "SCHEMA", tmp_path / "overlay.schema.json")
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
    stale = tmp_path / page
    stale.write_text(stale.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert module.main(["--check"]) == 1
    stale.unlink()
    assert module.stale() == [page]


def test_every_reason_says_something():
    module = renderer()
    assert set(module.REASON_ADVICE) == set(Reason)
    for reason in Reason:
        assert module.WORDS.get(reason) or module.WHY.get(reason), reason


def test_exit_codes_are_the_same_everywhere():
    module = renderer()
    words = module.exit_code_words()
    assert list(words) == list(range(8)) == list(module.EXIT_ADVICE)
    help_text = " ".join(module.help_of(()).split())
    listed = "; ".join(f"{code} {meaning}" for code, meaning in words.items())
    assert f"Exit codes: {listed}." in help_text
    assert set(module.error_classes()) <= set(words)


# --------------------------------------------------------------------------- commands


@pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path)) for path in commands()])
def test_every_command_is_in_the_docs(path):
    words = " ".join(("fhircryo", *path))
    assert f"## {words}\n" in (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    pattern = re.compile(rf"{words}\b")
    assert any(pattern.search(page.read_text(encoding="utf-8")) for page in FOR_USERS)


@pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path)) for path in commands()])
def test_every_help_has_an_example(path):
    text = renderer().help_of(path)
    match = re.search(r"Example:\n +(.+)", text)
    assert match, text
    assert_command_exists(match[1])
    assert match[1].split()[1 : 1 + len(path)] == list(path)


def test_every_help_example_on_our_cohort_names_one_of_its_patients():
    patients = {
        json.loads(line)["id"]
        for line in (ROOT / EXAMPLE / "Patient.ndjson").read_text(encoding="utf-8").splitlines()
    }
    for path in commands():
        example = re.search(r"Example:\n +(.+)", renderer().help_of(path))[1].split()
        if path == ("explain",) and EXAMPLE in example:
            assert example[example.index(EXAMPLE) + 1] in patients


def assert_command_exists(line: str) -> None:
    """The words of a shown command: it exists, and so do its options."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= make_targets(), line
        return
    command = typer.main.get_command(app)
    rest = words[1:]
    while rest and hasattr(command, "commands"):
        if rest[0].startswith("-"):
            break
        assert rest[0] in command.commands, line
        command = command.commands[rest.pop(0)]
    if "--" in rest:  # what follows is a command of the shell
        rest = rest[: rest.index("--")]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in rest if word.startswith("--")} <= known, line


def shown_commands(page: Path) -> list[str]:
    """Lines of code blocks, fenced or indented, that are a command of ours or of make."""
    text = page.read_text(encoding="utf-8")
    lines = [line for match in _FENCE.finditer(text) for line in match[3].splitlines()]
    lines += [line[4:] for line in _FENCE.sub("", text).splitlines() if line.startswith("    ")]
    lines = "\n".join(lines).replace("\\\n", " ").splitlines()
    stripped = [line.removeprefix("$ ").removeprefix(".venv/bin/") for line in lines]
    return [line for line in stripped if re.match(r"(fhircryo|make) (?!\.\.\.)", line)]


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_shown_commands_exist(page):
    if "reference" in page.parts:
        pytest.skip("generated from the commands")
    for line in shown_commands(page):
        assert_command_exists(line)


def test_the_readme_shows_commands():
    shown = shown_commands(ROOT / "README.md")
    assert "make demo" in {line.split("#")[0].strip() for line in shown}
    assert {line.split()[1] for line in shown} >= {"demo", "test", "compute", "explain"}


# --------------------------------------------------------------------------- what is shown is true


def sessions() -> list[tuple[Path, str, list[str]]]:
    """The console blocks: page, command, the lines shown of its output."""
    found = []
    for page in FOR_USERS:
        for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
            if match[2] == "console":
                command, *lines = match[3].splitlines()
                found.append((page, command, lines))
    return found


@pytest.mark.parametrize(
    "page, command, lines",
    [pytest.param(*one, id=f"{one[0].stem}-{number}") for number, one in enumerate(sessions())],
)
def test_shown_sessions_are_true(page, command, lines, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    assert command.startswith("$ fhircryo ")
    ran = run(*shlex.split(command)[2:], folder=tmp_path)
    assert ran.code == 0, ran.err
    output = [line.rstrip() for line in (ran.out + ran.err).splitlines()]
    position = 0
    left_out = False
    for line in lines:
        if line == _LEFT_OUT:
            left_out = True
            continue
        where = output.index(line, position) if line in output[position:] else -1
        assert where >= 0, f"{name(page)}: not in the output of {command}: {line}"
        assert left_out or where == position, f"{name(page)}: lines are missing before: {line}"
        position = where + 1
        left_out = False
    assert left_out or position == len(output), f"{name(page)}: more comes after: {lines[-1]}"


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "endpoints"
    ran = run("compute", EXAMPLE, folder, "--as-of", AS_OF)
    assert ran.code == 0, ran.err
    return folder


OUTPUT_PAGE = ROOT / "docs" / "how-to" / "read-the-output.md"


def shown_json() -> list[Any]:
    text = OUTPUT_PAGE.read_text(encoding="utf-8")
    return [json.loads(match[3]) for match in _FENCE.finditer(text) if match[2] == "json"]


def is_part(shown: Any, real: Any) -> bool:
    """Whether an example is what there is, with parts left out."""
    if shown == _LEFT_OUT:
        return isinstance(real, str)
    if isinstance(shown, dict):
        return isinstance(real, dict) and all(
            key in real and is_part(value, real[key]) for key, value in shown.items()
        )
    if isinstance(shown, list):
        return isinstance(real, list) and all(
            any(is_part(one, other) for other in real) for one in shown
        )
    return bool(shown == real)


@pytest.mark.parametrize("shown", shown_json(), ids=lambda shown: shown.get("resourceType", "-"))
def test_shown_json_is_of_a_run(shown, computed):
    if "resourceType" not in shown:
        assert is_part(shown, json.loads((computed / "manifest.json").read_text(encoding="utf-8")))
        return
    lines = [line for path in computed.glob("*.ndjson") for line in path.open(encoding="utf-8")]
    marks = [str(shown.get("id", "")), shown["resourceType"]]
    found = [json.loads(line) for line in lines if all(mark in line for mark in marks)]
    assert any(is_part(shown, one) for one in found)


def test_every_written_file_is_described(computed):
    text = OUTPUT_PAGE.read_text(encoding="utf-8")
    for path in computed.iterdir():
        assert f"`{path.name}`" in text
    kinds = {one.get("resourceType", "manifest") for one in shown_json()}
    assert kinds == {"Observation", "Provenance", "Device", "OperationOutcome", "manifest"}


def test_the_shown_overlay_and_settings_are_valid(tmp_path):
    blocks = {}
    for page in FOR_USERS:
        for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
            blocks.setdefault(match[2], []).append(match[3])
    cases = [block for block in blocks["yaml"] if "\ncases:\n" in block]
    assert cases
    for overlay in set(blocks["yaml"]) - set(cases):
        (tmp_path / "site.yaml").write_text(overlay, encoding="utf-8")
        ran = run("mappings", "check", "site.yaml", folder=tmp_path)
        assert ran.code == 0, ran.err
    assert len(blocks["toml"]) >= 2
    for settings in blocks["toml"]:
        (tmp_path / "fhircryo.toml").write_text(settings, encoding="utf-8")
        ran = run("mappings", "check", "site.yaml", folder=tmp_path)
        assert ran.code == 0, ran.err


def test_the_shown_case_fails_as_it_is_shown(tmp_path):
    """The page's overlay maps the procedure only."""
    page = (ROOT / "docs" / "how-to" / "test-your-mappings.md").read_text(encoding="utf-8")
    blocks = {match[2]: match[3] for match in reversed(list(_FENCE.finditer(page)))}
    (tmp_path / "cases.yaml").write_text(blocks["yaml"], encoding="utf-8")
    procedure = {"system": "https://hospital.example/procedures", "code": "CRYO-PROST"}
    overlay = {"concepts": {"cryoablation": {"codes": [procedure | {"verified": "here"}]}}}
    (tmp_path / "site.yaml").write_text(json.dumps(overlay), encoding="utf-8")
    command, shown = blocks["text"].split("\n", 1)
    ran = run(*shlex.split(command)[1:], folder=tmp_path)
    assert ran.code == 2
    assert ran.out.rstrip() == shown.strip().rpartition("\n")[0]
    assert str(ran.err).strip().removeprefix("fhircryo: ") == shown.rstrip().rpartition(": ")[2]


def test_every_setting_of_a_server_is_described():
    text = (ROOT / "docs/how-to/read-from-a-server.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `")]
    for setting in ServerSettings.model_fields:
        assert any(f"`{setting}`" in line.split("|")[1] for line in table), setting


def test_every_setting_of_writing_is_described():
    text = (ROOT / "docs/how-to/write-to-a-server.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `")]
    for setting in WriteSettings.model_fields:
        assert any(f"`write.{setting}`" in line.split("|")[1] for line in table), setting


def test_every_setting_of_a_scheduled_run_is_described():
    text = (ROOT / "docs/how-to/run-on-a-schedule.md").read_text(encoding="utf-8")
    for setting in SyncSettings.model_fields:
        assert f"| `{setting}` |" in text, setting


def test_every_setting_option_and_exit_code_is_described():
    text = (ROOT / "docs/how-to/compute-a-folder.md").read_text(encoding="utf-8")
    for setting in Settings.model_fields:
        assert f"| `{setting}` |" in text
    for parameter in commands()[("compute",)].params:
        option = parameter.opts[0]
        if option.startswith("--"):
            assert re.search(rf"^\| `{option}\b", text, re.MULTILINE), option
    for code in renderer().exit_code_words():
        assert f"| {code} | " in text


def test_every_option_and_file_of_a_cohort_is_described(tmp_path):
    text = (ROOT / "docs/how-to/pull-a-cohort.md").read_text(encoding="utf-8")
    for parameter in commands()[("cohort",)].params:
        for option in parameter.opts:
            if option.startswith("--") and option not in ("--report", "--yes"):
                assert re.search(rf"^\| .*`{option}\b", text, re.MULTILINE), option
    options = ("--format", "csv,redcap,omop", "--measure-report")
    ran = run("cohort", EXAMPLE, tmp_path / "out", *options)
    assert ran.code == 0, ran.err
    for path in (tmp_path / "out").iterdir():
        name = path.name if path.is_file() else f"{path.name}/"
        assert f"`{name}`" in text or f"`{path.stem}`" in text, name


@pytest.mark.skipif(
    shutil.which("Rscript") is None,
    reason="the page on R was not tried: install R (Debian: r-base-core, r-cran-survival)",
)
def test_the_page_on_r_is_true(tmp_path):
    page = (ROOT / "docs/how-to/read-it-in-r.md").read_text(encoding="utf-8")
    script = next(match[3] for match in _FENCE.finditer(page) if match[2] == "r")
    computed = run("cohort", EXAMPLE, tmp_path / "cohort", "--as-of", AS_OF)
    assert computed.code == 0, computed.err
    script += 'labels <- Map(function(one) attr(one, "label"), patients)\n'
    script += 'cat(labels$age_years, "|", labels$worst_clavien_dindo, "\\n")\n'
    (tmp_path / "read.R").write_text(script, encoding="utf-8")
    ran = subprocess.run(
        ["Rscript", "read.R"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"FALSE\s+TRUE\s+<NA>\s*\n\s*21\s+36\s+5", ran.stdout), ran.stdout
    assert re.search(r"none\s+I\s+II\s+IIIa", ran.stdout), ran.stdout
    assert "Age, years | Worst complication, Clavien-Dindo" in ran.stdout
    # The report's figure at a year: 46 at risk, 11 events, 0.81 (0.69 to 0.89).
    assert re.search(r"365\s+46\s+11\s+0\.813\s+\S+\s+0\.687\s+0\.892", ran.stdout), ran.stdout


# --------------------------------------------------------------------------- pages


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_relative_links_resolve(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{name(page)}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
            assert anchor in anchors, f"{name(page)}: {target}"


def test_every_page_is_in_the_contents():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / target).resolve() for target in _LINK.findall(text)}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert pages - linked == {ROOT / "docs" / "index.md"}


def test_every_direct_dependency_is_described():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = list(project["project"]["dependencies"])
    for extra in project["project"].get("optional-dependencies", {}).values():
        wanted += extra
    for group in project["dependency-groups"].values():
        wanted += group
    names = {re.match(r"[A-Za-z0-9._-]+", one)[0] for one in wanted}
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `([^`]+)` \| \S", text, re.MULTILINE))
    assert described == names


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


def test_no_file_names_a_machines_path():
    # Spelt so that this file does not name one itself.
    machine = re.compile(rb"(?<![\w.~-])/(?:work|root|Users|home)/")
    found = [
        f"{name(path)}: {match[0].decode()}"
        for path in files()
        if path.name != Path(__file__).name
        for match in [machine.search(path.read_bytes())]
        if match
    ]
    assert not found
