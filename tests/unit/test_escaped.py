"""What comes from outside is shown escaped: no control characters, no forged lines."""

import logging

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.logs import escaped, set_up_logs, text_of
from tests.unit.hostile_text import HOSTILE, hostile_folder


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ng/mL", "ng/mL"),
        ("Größe µg", "Größe µg"),
        ("a\nb", "a\\nb"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("\u202e", "\\u202e"),
        ("\u2028", "\\u2028"),
        ("\x85", "\\x85"),
    ],
)
def test_what_is_not_printable_is_an_escape_sequence(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_line_holds_no_other_line() -> None:
    assert text_of(["one", "two\nforged", "three"]) == "one\ntwo\\nforged\nthree"


def test_explain_shows_no_control_character_and_no_forged_line(tmp_path) -> None:
    source = hostile_folder(tmp_path)
    done = CliRunner().invoke(app, ["explain", str(source), "p1", "--as-of", "2017-12-31"])
    assert done.exit_code == 0, done.output
    lines = done.output.split("\n")
    assert all(line.isprintable() for line in lines)
    assert sum(line.strip().startswith("biochemical-failure:") for line in lines) == 1
    assert escaped(HOSTILE) in done.output


def test_a_log_line_is_one_line(capsys) -> None:
    set_up_logs("warning", "text")
    logging.getLogger("fhircryo").warning("a code: %s", HOSTILE)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert escaped(HOSTILE) in told
