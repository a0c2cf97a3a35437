"""Log lines: where nobody watches, as text or JSON, from a level on."""

import json
import logging

import pytest

from fhircryo.logs import set_up_logs

LOG = logging.getLogger("fhircryo.test")


def logged(
    capsys: pytest.CaptureFixture[str], log_level: str | None = None, log_format: str = "text"
) -> list[str]:
    set_up_logs(log_level, log_format)
    LOG.debug("asked")
    LOG.info("done: %d", 3)
    LOG.warning("odd")
    return capsys.readouterr().err.splitlines()


def test_text_from_info_on(capsys):
    lines = logged(capsys)
    assert len(lines) == 2
    assert lines[0].endswith("INFO fhircryo.test: done: 3")


def test_json_lines(capsys):
    (line,) = logged(capsys, log_format="json", log_level="warning")
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("warning", "fhircryo.test", "odd")
    assert told["time"].endswith("+00:00")


def test_an_exception_stays_one_line_of_json(capsys):
    set_up_logs(None, "json")
    try:
        int("no")
    except ValueError:
        LOG.exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_twice_set_up_says_everything_once(capsys):
    set_up_logs(None, "text")
    assert len(logged(capsys, log_level="debug")) == 3
