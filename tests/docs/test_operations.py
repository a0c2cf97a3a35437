"""What operations rely on: alert rules, messages that are explained, and one settings file."""

import ast
import re
import shutil
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml

from fhircryo.cli.main import app
from fhircryo.runs.sync.metrics_file import write_metrics
from fhircryo.runs.sync.status_file import RunReport
from fhircryo.runs.sync.sync_result import SyncResult
from tests.docs.test_docs import ROOT, renderer, shown_commands

OPERATIONS = ROOT / "examples" / "operations"
ALERTS = OPERATIONS / "alerts.yml"
HOW_TO = ROOT / "docs" / "how-to"
SETTINGS_FILE = "/etc/fhircryo/fhircryo.toml"
#: A call of the program in a unit, a crontab or a container.
_CALL = re.compile(r"bin/fhircryo ([^\n]*?)(?: 2>>.*)?$", re.MULTILINE)
_QUOTED = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


# ------------------------------------------------------------------ alerts


def rules() -> list[dict[str, object]]:
    content = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    assert list(content) == ["groups"]
    for group in content["groups"]:
        assert group.keys() == {"name", "rules"}
    return [rule for group in content["groups"] for rule in group["rules"]]


def metrics(folder: Path) -> set[str]:
    """The names of all metrics that a run can write."""
    now = datetime.now(UTC)
    report = RunReport("run", now, now, 0, result=SyncResult())
    write_metrics(folder / "metrics.prom", report, now.isoformat())
    lines = (folder / "metrics.prom").read_text().splitlines()
    return {line.split()[2] for line in lines if line.startswith("# TYPE ")}


def test_alert_rules_are_about_metrics_that_runs_write(tmp_path):
    written = metrics(tmp_path)
    assert "fhircryo_sync_last_run_stopped" in written
    names: list[str] = []
    for rule in rules():
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"].keys() == {"severity"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert re.fullmatch(r"\d+[hd]", rule.get("for", "1h"))
        assert rule["expr"].count("(") == rule["expr"].count(")")
        named = set(re.findall(r"\bfhircryo_\w+", rule["expr"]))
        assert named
        assert named <= written
        names.append(rule["alert"])
    assert len(set(names)) == len(names)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: rules were not run")
def test_prometheus_accepts_the_alert_rules():
    subprocess.run(["promtool", "check", "rules", ALERTS], check=True)


# ------------------------------------------------------------------ messages


@cache
def texts() -> list[str]:
    """The texts in the code; what is put into them is a NUL character."""
    found: list[str] = []
    for path in sorted((ROOT / "fhircryo").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", "\0") for part in node.values]
                found.append("".join(p if isinstance(p, str) else "\0" for p in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value.replace("%s", "\0"))
            elif isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                found.append(node.value.decode(errors="replace"))
    return found


def is_in_code(message: str) -> bool:
    """Whether a message, with ``...`` for what differs, is a text in the code, or part of one."""
    parts = [re.escape(part) for part in message.split("...")]
    pattern = re.compile("[^\n]*\0[^\n]*".join(parts))
    return any(pattern.search(text) for text in texts())


def messages() -> list[str]:
    return _QUOTED.findall((HOW_TO / "troubleshoot.md").read_text(encoding="utf-8"))


def test_messages_are_explained():
    assert len(messages()) > 20


@pytest.mark.parametrize("message", sorted(set(messages()) - {"Traceback"}))
def test_every_message_that_is_explained_exists(message):
    assert is_in_code(message)


@pytest.mark.parametrize(
    "message", ["the state folder is gone", "the server counts ... matches and returns ..."]
)
def test_a_message_that_does_not_exist_is_found(message):
    assert not is_in_code(message)


# ------------------------------------------------------------------ one settings file


def takes_config(words: list[str]) -> bool:
    """Whether the command that the words begin with has the option ``--config``."""
    command = typer.main.get_command(app)
    for word in words:
        inner = getattr(command, "commands", {})
        if word not in inner:
            break
        command = inner[word]
    return any("--config" in parameter.opts for parameter in command.params)


def operating_commands() -> list[list[str]]:
    """The commands of the pages and files for operations, without ``fhircryo``."""
    lines: list[str] = []
    for name in ("run-on-a-schedule.md", "troubleshoot.md"):
        text = (HOW_TO / name).read_text(encoding="utf-8")
        lines += [line.removeprefix("fhircryo ") for line in shown_commands(HOW_TO / name)]
        lines += re.findall(r"`fhircryo ([^`]+--[^`]+)`", text)
    lines += re.findall(r"`fhircryo ([^`]+ [^`]+)`", ALERTS.read_text(encoding="utf-8"))
    lines += [
        line.removeprefix("fhircryo ")
        for line in shown_commands(HOW_TO / "sign-in.md")
        if line.startswith("fhircryo auth test")
    ]
    for name in ("fhircryo-sync.service", "crontab"):
        lines += _CALL.findall((OPERATIONS / name).read_text(encoding="utf-8"))
    commands = [line.split() for line in lines if not line.startswith("make ")]
    container = (OPERATIONS / "Containerfile").read_text(encoding="utf-8")
    commands.append(re.findall(r'"([^"]+)"', container.partition("\nCMD ")[2].splitlines()[0]))
    return [words for words in commands if takes_config(words)]


def test_every_command_of_operations_names_the_same_settings_file():
    commands = operating_commands()
    assert {words[0] for words in commands} >= {
        "sync", "doctor", "state", "forget", "config", "auth"
    }  # fmt: skip
    for words in commands:
        assert words[words.index("--config") + 1] == SETTINGS_FILE, words


def test_every_example_of_a_help_names_the_same_settings_file():
    found = []
    for path in renderer().commands():
        found += re.findall(r"--config (/\S+)", renderer().help_of(path))
    assert len(found) > 5
    assert set(found) == {SETTINGS_FILE}
