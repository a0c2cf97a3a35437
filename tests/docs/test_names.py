"""Every path and every Python name that the documentation mentions exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "GLOSSARY.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_SPAN = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(
    r"(?<![\w/.-])(?:fhircryo|tests|mappings|examples|docs|benchmarks)/[\w./*-]*[\w/*]"
)
_NAME = re.compile(r"(?<![\w/.-])fhircryo(?:\.\w+)+")
#: Files of a user, whose names look like Python.
_FILES = {"fhircryo.toml"}


def resolve(name: str) -> object:
    """The module, class, function or field of a dotted name.

    Raises:
        AttributeError: there is none.
    """
    words = name.split(".")
    found: object = importlib.import_module(words[0])
    for number, word in enumerate(words[1:], 2):
        try:
            found = getattr(found, word)
        except AttributeError:
            try:
                found = importlib.import_module(".".join(words[:number]))
            except ModuleNotFoundError as error:
                raise AttributeError(name) from error
    return found


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES]
)
def test_names_exist(page):
    text = page.read_text(encoding="utf-8")
    missing = []
    for span in _SPAN.findall(text):
        for path in _PATH.findall(span):
            if not any(ROOT.glob(path.rstrip("/"))):
                missing.append(path)
        for name in _NAME.findall(span):
            try:
                if name not in _FILES:
                    resolve(name)
            except AttributeError:
                missing.append(name)
    assert not missing


def test_every_package_is_explained():
    text = (ROOT / "docs/explanation/how-it-works.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in (ROOT / "fhircryo").glob("*/__init__.py")}
    explained = re.findall(r"^\| `fhircryo/(\w+)` \|", text, re.MULTILINE)
    assert sorted(explained) == sorted(packages)


@pytest.mark.parametrize(
    "name", ["fhircryo.calendar.nothing", "fhircryo.nothing", "fhircryo.fhir.x"]
)
def test_wrong_name_is_found(name):
    with pytest.raises(AttributeError):
        resolve(name)
