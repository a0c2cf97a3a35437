"""Values that readers of FHIR stumble over: numbers, dates, texts, references, codes."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.json_text import Literal

#: The cut-off date of what is fuzzed, and the days around which a record's rules change.
AS_OF = "2017-12-31"

_NUMBERS: list[Any] = [
    0,
    -1,
    1,
    4,
    10**9,
    2**31,
    2**63,
    2**64,
    10**400,
    0.1,
    0.05,
    1e-9,
    -0.0,
    1e308,
    *map(
        Literal,
        (
            *("1e28", "1e-28", "1e5000", "1e-5000", "1e99999999999999999999", "1e-99999999"),
            *("-1e999999999", "1E+3", "0e0", "-0", "00012", "1.", ".5", "+1", "0x10", "1_000"),
            *(
                "NaN",
                "Infinity",
                "-Infinity",
                "9" * 5000,
                "0." + "0" * 5000 + "1",
                "4." + "3" * 300,
            ),
            *("1e999999999999999999", "0.30000000000000000000000000000004", "2.0", "2.00", "1e0"),
        ),
    ),
]
_TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "x\udfffy",
    "\x1b]0;PWN\x07\x1b[2J",
    "\u202e\u2066evil\u2069",
    "line one\nline two\r\nline three\u2028four\u0085five",
    "\ufeff",
    "\u00a0\u2003",
    "e\u0301\u0327" * 20,
    "𝟙𝟚",
    "٣",
    "\U0001f4a9\U000e0001",
    "null",
    "true",
    "-",
    "<",
    "<0.1",
    "< 0,1",
    "<=0.1 ng/mL",
    ">100",
    "0,4",
    "1.234,5",
    "4.0 ng/mL",
    "<10 IntlUnit/mL",
    "neg",
    "=cmd|' /C calc'!A0",
    "@SUM(1)",
    "+1",
    "<script>alert(1)</script>",
    "{{7*7}}{% raw %}${x}",
    "%s%n%(x)s{0}{x.__class__}",
    "../../../../etc/passwd",
    "a|b|c",
    '","',
    "'; DROP TABLE patient; --",
    "\\",
    "\\ud800",
    "# not a comment",
    "- &a [*a]",
    "!!python/object/apply:os.system [id]",
]
_LONG: list[Callable[[int], str]] = [
    lambda size: "a" * size,
    lambda size: " " * size,
    lambda size: "9" * size,
    lambda size: "\t" * size + "x",
    lambda size: "0." + "0" * size,
    lambda size: "<" * size,
    lambda size: "1e" + "9" * (size % 9000),
    lambda size: "a|" * size,
    lambda size: "ng/mL{" + "{" * size,
    lambda size: "\u0301" * size,
    lambda size: "Patient/" * size,
    lambda size: "a/" * size + "_history/" * (size // 10),
    lambda size: "1," * size,
    lambda size: "\\" * size,
    lambda size: "\x00" * size,
]
_DATES = [
    "0000",
    "0001",
    "0001-01-01",
    "9999",
    "9999-12",
    "9999-12-31",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "2016",
    "2016-02",
    "2016-02-29",
    "2015-02-29",
    "2016-02-30",
    "2016-13",
    "2016-00-10",
    "2016-3-1",
    "20160301",
    "20160301123000+0100",
    "2016-03-01T",
    "2016-03-01T24:00:00Z",
    "2016-03-01T23:59:60Z",
    "2016-03-01T12",
    "2016-03-01T12:00",
    "2016-03-01 12:00:00",
    "2016-03-01T12:00:00.123456789123456789Z",
    "2016-03-01T12:00:00+0100",
    "2016-03-01T12:00:00+25:00",
    "2016-03-01T12:00:00 PM CET",
    "2016-03-01t12:00:00z",
    "2016-W09-2",
    "2016-061",
    "01-03-2016",
    "03/01/2016",
    "-2016-03-01",
    "+12016-03-01",
    "20\u0661\u0666-03-01",
    "２０１６-03-01",
    "2016-03-01\n",
    "2016-03-01\x00",
    "2017-12-31",
    "2018-01-01",
    "2017-12-31T23:59:59Z",
    "1900-01-01",
    "2262-04-12",
    "1677-09-20",
]
_SYSTEMS = [
    None,
    "",
    "http://loinc.org",
    "http://loinc.org/",
    "HTTP://LOINC.ORG",
    "urn:oid:2.16.840.1.113883.6.1",
    "http://snomed.info/sct",
    "http://snomed.info/sct/900000000000207008/version/20230131",
    "http://unitsofmeasure.org",
    "http://hl7.org/fhir/sid/icd-10",
    "http://www.whocc.no/atc",
    "http://www.ama-assn.org/go/cpt",
    "https://w3id.org/fhircryo/CodeSystem/clavien-dindo",
    "https://w3id.org/fhircryo/endpoint",
    "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "urn:x:y|z",
    "\u202e",
]


def number(rng: Random) -> Any:
    """Return a number, or what somebody writes where one is expected."""
    if rng.random() < 0.2:
        return rng.choice((str, lambda one: f"<{one}", lambda one: f" {one} "))(rng.randint(0, 99))
    if rng.random() < 0.3:
        return Literal(f"{rng.randint(-5, 30)}.{rng.randint(0, 99)}")
    return rng.choice(_NUMBERS)


def text(rng: Random) -> str:
    """Return a text; one in ten is long."""
    if rng.random() < 0.1:
        return rng.choice(_LONG)(rng.choice((300, 3_000, 30_000, 100_000)))
    if rng.random() < 0.2:
        return rng.choice(_TEXTS) + rng.choice(_TEXTS)
    return rng.choice(_TEXTS)


def date(rng: Random) -> str:
    """Return a date, an impossible one, or one in another form."""
    if rng.random() < 0.3:
        day = f"{rng.randint(2009, 2019)}-{rng.randint(1, 12):02}-{rng.randint(1, 31):02}"
        return day + rng.choice(("", "", "T00:00:00Z", "T23:30:00-05:00", "T08:15:00+01:00"))
    return rng.choice(_DATES)


def system(rng: Random) -> str | None:
    """Return the URL of a code system, in one of its spellings, or of none."""
    return rng.choice(_SYSTEMS)


def reference(rng: Random, ids: list[str]) -> Any:
    """Return a reference to one of some resources (``Type/id``), in one of its many forms."""
    name = rng.choice(ids) if ids else "Patient/none"
    forms: list[Any] = [
        name,
        f"{name}/_history/2",
        f"https://other.example/fhir/{name}",
        f"http://user:secret@other.example:80/a/b/{name}?x=1#y",
        f"#{name.rpartition('/')[2]}",
        "#",
        f"urn:uuid:{name.rpartition('/')[2]}",
        f"{name}/",
        f"/{name}",
        f"{name}#part",
        f"{name}|1.0",
        name.upper(),
        name.partition("/")[2],
        f"Group/{name}",
        "",
        "/",
        "//",
        f"{name}?identifier=1|2",
    ]
    return rng.choice(forms)


def nesting(rng: Random) -> Literal:
    """Return brackets within brackets: deep, and whole or cut."""
    depth = rng.choice((10, 60, 200, 990, 5_000, 100_000))
    opening, closing = rng.choice((("[", "]"), ('{"item":', "}"), ('{"part":[', "]}")))
    end = closing * depth if rng.random() < 0.8 else ""
    return Literal(opening * depth + "1" + end)


def anything(rng: Random) -> Any:
    """Return a value of any JSON type."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: number(rng),
        lambda: text(rng),
        lambda: date(rng),
        list,
        dict,
        lambda: [None],
        lambda: {"": None},
        lambda: [text(rng)],
        lambda: nesting(rng),
    ]
    return rng.choice(kinds)()
