"""The look at uv.lock: that it finds what it looks for."""

import copy
import tomllib

import pytest

from tests import audit

LOCKED = tomllib.loads(audit.LOCK.read_text(encoding="utf-8"))


def changed(name: str, **changes: object) -> list[str]:
    lock = copy.deepcopy(LOCKED)
    (package,) = (one for one in lock["package"] if one["name"] == name)
    package |= changes
    return audit.problems(lock)


def test_what_is_locked_is_sound():
    assert audit.problems(LOCKED) == []
    assert {one["name"] for one in LOCKED["package"]} >= audit.REVIEWED.keys()


@pytest.mark.parametrize("name", audit.REVIEWED)
def test_a_version_with_an_advisory_is_found(name):
    (problem,) = changed(name, version="0.9.1")
    assert audit.REVIEWED[name].advisory in problem
    assert changed(name, version=audit.REVIEWED[name].mended) == []


def test_what_comes_from_elsewhere_or_without_a_hash_is_found():
    assert changed("requests", source={"git": "https://x.example"}) == [
        "requests: not from a registry"
    ]
    assert changed("requests", sdist=None, wheels=[]) == ["requests: without a hash"]
    assert changed("requests", wheels=[{"url": "x"}]) == ["requests: without a hash"]


def test_versions_are_compared_as_numbers():
    assert audit.version("2.10.0") > audit.version("2.9.3")


def test_where_nobody_answers_it_is_said(monkeypatch, capsys):
    monkeypatch.setattr(audit, "ADVISORIES", "http://127.0.0.1:9/query")
    monkeypatch.setattr(audit, "ask", lambda _: 1)
    assert audit.main() == 0
    assert "no source of advisories can be reached" in capsys.readouterr().out


def test_what_pip_audit_says_counts(monkeypatch):
    monkeypatch.setattr(audit, "reached", lambda _: True)
    monkeypatch.setattr(audit, "ask", lambda _: 1)
    assert audit.main() == 1
