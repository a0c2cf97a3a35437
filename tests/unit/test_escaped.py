"""What comes from outside is shown escaped: no control characters, no forged lines."""

import io
import json
import logging
import sys

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.cli.printing import say
from fhircryo.logs import (
    LONGEST_LINE,
    escaped,
    indented,
    json_text,
    keep_secret,
    line_of,
    set_up_logs,
    text_of,
)
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
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("\u200b\ufeff\u2066", "\\u200b\\ufeff\\u2066"),
        ("\ufe0f\u3164\u2800\u034f", "\\ufe0f\\u3164\\u2800\\u034f"),
        ("\U000e0041\U000e0100", "\\U000e0041\\U000e0100"),
        ("\udc80", "\\udc80"),
        ("\x00", "\\x00"),
    ],
)
def test_what_is_not_printable_is_an_escape_sequence(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_line_holds_no_other_line() -> None:
    assert text_of(["one", "two\nforged", "three"]) == "one\ntwo\\nforged\nthree"


def test_a_line_is_not_overlong():
    shown = line_of("x" * 1_000_000)
    assert len(shown) < LONGEST_LINE + 40
    assert shown.endswith("... (1000000 characters)")


def test_a_secret_is_masked_before_it_is_escaped():
    secret = keep_secret("pass\u00a0word")
    assert line_of(f"it is {secret}") == "it is ********"


@pytest.mark.slow
def test_every_character_alone():
    """No character of Unicode is shown that Python or Unicode calls invisible."""
    for number in range(sys.maxunicode + 1):
        letter = chr(number)
        shown = escaped(letter)
        assert shown.isprintable(), hex(number)
        assert len(shown) == 1 or shown.isascii(), hex(number)


def test_further_lines_are_indented():
    assert indented("a\nFORGED\r\nb\x1b") == "a\n  FORGED\\r\n  b\\x1b"


@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_the_same_value(indent):
    content = {HOSTILE: [HOSTILE, "\udc80", "\U000e0041", "Größe", 1.5, None, True]}
    text = json_text(content, indent)
    assert json.loads(text) == content
    assert "Größe" in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert indent or "\n" not in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_an_escape_sequence(monkeypatch, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    say("4 µg → 漢", HOSTILE)
    assert written.getvalue().count(b"\n") == 2
    assert ("漢" if encoding == "utf-8" else "\\u6f22") in written.getvalue().decode(encoding)


def test_without_a_stream_nothing_is_printed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    say("a", err=True)


def test_explain_shows_no_control_character_and_no_forged_line(tmp_path) -> None:
    source = hostile_folder(tmp_path)
    done = CliRunner().invoke(app, ["explain", str(source), "p1", "--as-of", "2017-12-31"])
    assert done.exit_code == 0, done.output
    lines = done.output.split("\n")
    assert all(line.isprintable() for line in lines)
    assert sum(line.strip().startswith("biochemical-failure:") for line in lines) == 1
    assert escaped(HOSTILE) in done.output


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_forges_no_line(capsys, log_format):
    set_up_logs("warning", log_format)
    log = logging.getLogger("fhircryo.test")
    try:
        raise ValueError(HOSTILE)  # noqa: TRY301
    except ValueError:
        log.exception("failed", stack_info=True)
    first, *others = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert all(line.isprintable() for line in (first, *others))
    assert all(line.startswith("  ") for line in others)
    if log_format == "json":
        assert not others
        assert HOSTILE in json.loads(first)["exception"]


@pytest.mark.parametrize("name", ["some.library", "py.warnings"])
def test_what_libraries_log_is_escaped(capsys, monkeypatch, name):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    set_up_logs("warning", "text")
    logging.getLogger(name).warning("odd: %s", HOSTILE)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert escaped(HOSTILE) in told


def test_a_log_line_is_one_line(capsys) -> None:
    set_up_logs("warning", "text")
    logging.getLogger("fhircryo").warning("a code: %s", HOSTILE)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert escaped(HOSTILE) in told
