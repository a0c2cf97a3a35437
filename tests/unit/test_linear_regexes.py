"""Every regular expression takes linear time, whatever text it is used on."""

import ast
import importlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import fhircryo
from fhircryo.fhir.dates import DateReader
from fhircryo.setup.survey.search_words import _compiled
from fhircryo.storage.shipped_files import shipped

SOURCES = Path(fhircryo.__file__).parent
#: The functions of ``re`` that take a pattern.
FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub"}


class Pattern(NamedTuple):
    """A pattern in the sources, and how it is used there."""

    module: str
    text: str
    binary: bool
    flags: int
    methods: frozenset[str]


def _constant(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _used(trees: dict[str, ast.Module], module: str, name: str) -> frozenset[str]:
    """The methods of a compiled pattern that are called: of a private name in its module only."""
    places = [trees[module]] if name.startswith("_") else list(trees.values())
    return frozenset(
        node.attr
        for tree in places
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and node.attr in FUNCTIONS
    )


def _names(tree: ast.Module) -> dict[int, str]:
    """The name that each call is assigned to."""
    return {
        id(node.value): target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def patterns() -> list[Pattern]:
    trees = {
        path.relative_to(SOURCES).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCES.rglob("*.py"))
    }
    found = []
    for module, tree in trees.items():
        names = _names(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if not isinstance(node.func.value, ast.Name) or node.func.value.id != "re":
                continue
            if node.func.attr not in FUNCTIONS:
                assert node.func.attr == "escape", ast.unparse(node)
                continue
            constant = _constant(node.args[0])
            if isinstance(node.args[0], ast.Name):
                whole = importlib.import_module(f"fhircryo.{module[:-3].replace('/', '.')}")
                constant = getattr(whole, node.args[0].id)
            text = ast.unparse(node.args[0]) if constant is None else constant
            flags = [
                one
                for other in node.args[1:] + [one.value for one in node.keywords]
                for one in re.findall(r"re\.([A-Z]+)", ast.unparse(other))
            ]
            methods = frozenset({node.func.attr})
            if methods == {"compile"}:
                methods = _used(trees, module, names.get(id(node), ""))
            binary = isinstance(text, bytes)
            found.append(
                Pattern(
                    module,
                    text.decode() if binary else text,
                    binary,
                    sum(getattr(re, flag) for flag in set(flags)),
                    methods,
                )
            )
    return found


ALL = patterns()
#: For each pattern what an attacker would repeat: what it takes more than one way, or what it
#: takes before it fails. A new pattern needs an entry; every pattern also runs on all the others'.
HOSTILE = {
    "([01][0-9]|2[0-3]):": ("00:00:00.0", "0"),
    "\\{[^{}]*\\}": ("{", "{a", "{}"),
    "\\s*+(<=|>=": (" ", "0", "0.", "<", "0 a"),
    "[.,0-9<>=+\\-]": ("<",),
    "[1-9][0-9]*,[0-9]{3}": ("1", "1,000"),
    "\\s*[+-]?[0-9]+": (" ", "1", "1.1 "),
    "\\b(not active": ("not", "exp ", "not.befor"),
    "signature|signed": ("sig", "sign"),
    "public key": ("public ", "jwk", "key se"),
    "audience": ("audienc", "au"),
    "reuse|replay": ("reus", "already use"),
    "\\b(\\w++)=": ("a", "a=", 'a="', 'a="b'),
    "[0-9]{4}": ("0",),
    "[0-9]{4}-(0[1-9]": ("0", "2016-01"),
    "([0-9]{4}-[0-9]{2}-[0-9]{2})(": (" ", "2016-01-01 "),
    "\\s*([0-9]{4})(?:": (" ", "0", "2016-1-1"),
    "\\s*([0-9]{8})(": (" ", "0", "20160101"),
    "(?:W/)?": ('"', 'W/"', "a"),
    ".*\\.(ndjson": (".ndjson", ".json.gz", "."),
    "(?:(?:log|log": ("log.", "error.ndjson", "."),
    "\\.(?:ndjson": (".json", "."),
    "[^a-z]+": ("1", "a1"),
    "<title": ("<title", "<title ", "<"),
    "\\beyJ": ("eyJ-", "eyJaaaaaaaa.", "eyJaaaaaaaa.a.", "-eyJaaaaaaaa"),
    "[A-Z][0-9]{2}": ("C61",),
    "[<>]?=?-?(?P<number>": (".", "0.", "0.. ", "0 a"),
    "[^A-Za-z0-9-]": ("_",),
    "[^\\W_]+": ("a", "a_"),
    "[1-9]|10|": ("c", "la0", "t1"),
    "[!#$%&": ("!", "a:"),
    "([A-Z]?[0-9]{4,}": ("1", "1A", "11111-"),
    "[A-Z]{0,2}[0-9]{5,}": ("A", "1", "1-1"),
    "[A-Z][0-9]{2}(": ("C61.", "1"),
    "(?:urn:oid:)?": ("1.", "1.1", "urn:oid:"),
    "[(\\[{]": (" ", " (", "["),
    "(?:[a-z]+|(?<!": ("a", "1", "a1", "1aa", "aa1"),
    "q(\\d+": ("q", "1", "q1a"),
    "[^\\W\\d_]+|": ("a", "1", "a1"),
    "\\*?(?:": ("*", "a*", "*1"),
    'f"(?:^| )': ("a", " a", "meta", "psa "),
    '^\\{"resourceType":"': ('{"resourceType":"Patient","id":"a', '{"resourceType":"', "\n"),
    "[\u034f": ("\u034f",),
    "([\\\\`*_": ("\\", "`", "["),
    "^(?:'|[": (" ", '"', " =", "'"),
    "^[+-]?[0-9]+": ("1", "1.1", "-1."),
    "(?:[<>]=?)?-?[0-9]": ("1", "1.1", "absent (a-a: a", "a-"),
    "[a-z][a-z0-9_]*": ("a", "a_0"),
    "^file:/+": ("file:/", "/"),
    "([\\\\*?\\[": ("\\", "*", "["),
    "(?:[a-z_]+\\.)*[A-Z]": ("a.", "a", "A", "a.Error"),
    "\\d{4}-\\d\\d-\\d\\d(": ("2016-01-01..", "2016"),
    "\\[(final|": ("[final", "["),
    "(\\d\\d:\\d\\d)(": ("08:00", "08:00:00.0", "0"),
    "[A-Z]\\d\\d(": ("C79.", "C79.5"),
    "(<=|>=|<|>)?(-?": ("<", "1", "1.1", "-"),
    "[a-z][a-z-]*": ("a", "a-"),
    "[0-9]{1,9}(?:": ("1", "1.", "0.0"),
}
ENDS = ("", "!", " x")


def _of(pattern: Pattern) -> tuple[str, ...] | None:
    fitting = [one for one in HOSTILE if pattern.text.startswith(one)]
    return HOSTILE[max(fitting, key=len)] if fitting else None


def test_every_pattern_has_hostile_inputs():
    """A new one needs an entry above; one that is gone has none."""
    missing = [f"{one.module}: {one.text}" for one in ALL if _of(one) is None]
    assert missing == []
    used = {key for one in ALL for key in HOSTILE if one.text.startswith(key)}
    assert used == HOSTILE.keys()
    assert all(one.methods or one.text.startswith('f"') for one in ALL)


def _runs(pattern: Pattern) -> list[Callable[[str], object]]:
    """The calls of a pattern; dates are read from texts that are not too long, by their reader."""
    if pattern.module == "fhir/dates.py":
        return [DateReader().read]
    if pattern.text.startswith('f"'):
        return [_search_words]
    compiled: Any = re.compile(
        pattern.text.encode() if pattern.binary else pattern.text, pattern.flags
    )

    def run(method: str) -> Callable[[str], object]:
        def on(text: str) -> object:
            given = text.encode() if pattern.binary else text
            if method == "sub":
                return compiled.sub(b"" if pattern.binary else "", given)
            found = getattr(compiled, method)(given)
            return list(found) if method == "finditer" else found

        return on

    return [run(method) for method in sorted(pattern.methods)]


def _search_words(text: str) -> object:
    words = re.findall(r"search: \[([^]]*)\]", (shipped("mappings") / "words.yaml").read_text())
    assert words
    return [_compiled(tuple(one.split(","))).search(text) for one in words]


def _seconds(run: Callable[[str], object], text: str) -> float:
    """The least CPU time of several runs, in seconds."""
    least = float("inf")
    for _ in range(3):
        start = time.process_time()
        run(text)
        least = min(least, time.process_time() - start)
    return least


#: Shorter runs than this, in seconds, say nothing; text that takes less is not lengthened further.
LEAST, LONGEST = 0.002, 1 << 16
#: Linear time makes 4, quadratic time 16.
MOST = 7.0


def _ratio(run: Callable[[str], object], short: str, long: str) -> float:
    return _seconds(run, long) / max(_seconds(run, short), LEAST)


def grows(run: Callable[[str], object], unit: str, end: str) -> float:
    """The ratio of the times for a text and for one four times as long."""
    number = 500
    while number * len(unit) < LONGEST:
        short = _seconds(run, unit * number + end)
        if short >= LEAST:
            # A busy machine disturbs single measurements: the smallest ratio counts.
            return min(_ratio(run, unit * number + end, unit * 4 * number + end) for _ in range(3))
        number *= 4
    return 1.0


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ALL, ids=lambda one: f"{one.module}:{one.text[:30]}")
def test_time_is_linear(pattern):
    inputs = {*(_of(pattern) or ()), " ", "0", "a"}
    for run in _runs(pattern):
        for unit in sorted(inputs):
            for end in ENDS:
                assert grows(run, unit, end) < MOST, (unit, end)


@pytest.mark.slow
def test_the_check_finds_what_is_not_linear():
    quadratic = re.compile(r"(\w+)=")
    assert grows(quadratic.search, "a", "") > MOST
