"""What has to hold of every run, whatever the input: more than that there is no traceback."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fhircryo.publish.folder_target import FILES, ISSUES, MANIFEST, OBSERVATIONS, PROVENANCES
from tests.fuzz.program import SECRET, Run
from tests.fuzz.seeds import BYSTANDERS

#: What a command may end with: done, usage, source, unreadable.
CODES = frozenset({0, 2, 3, 4})
#: CPU seconds that any run may take, and how many times as long as the same without mutations.
_ALWAYS, _SLOWER = 1.5, 20
#: Elements that no page of ours has.
_NEVER = frozenset({"comment", "iframe", "object", "embed", "form", "svg", "base", "template"})


class Finding(Exception):
    """Something that must not be; ``kind`` is the same for the same defect."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


def expect(condition: bool, kind: str, detail: object) -> None:
    """Raise a Finding if a condition does not hold."""
    if not condition:
        raise Finding(kind, str(detail)[:3000])


def check_run(run: Run, codes: Iterable[int] = CODES, *, usual: float) -> None:
    """Check the exit code, the words, and the time of a run; ``usual``: its CPU seconds."""
    command = run.arguments[0]
    if "Traceback" in run.err or run.code == 1:
        last = [line for line in run.err.splitlines() if line.strip()][-1:]
        places = re.findall(r'File "[^"]*/(fhircryo/[^"]+)", line (\d+)', run.err)
        where = ":".join(places[-1]) if places else "?"
        raise Finding(f"traceback {where}", f"{last}\n{run.err[-3000:]}")
    expect(run.code in codes, f"{command}: exit {run.code}", run.err)
    for name, text in (("stderr", run.err), ("stdout", run.out)):
        raw = [one for one in text if not one.isprintable() and one != "\n"]
        expect(not raw, f"{command}: raw characters on {name}", (raw[:5], text[:2000]))
        expect(SECRET not in text, f"{command}: secret on {name}", text)
    limit = max(_ALWAYS, _SLOWER * usual)
    expect(run.seconds < limit, f"{command}: slow", f"{run.seconds:.2f} s, usual {usual:.2f} s")


def lines_of(path: Path) -> list[Any]:
    """The resources in a written file."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line, parse_float=Decimal))
        except ValueError as error:
            raise Finding(f"{path.name}: a line is no JSON", f"{error}: {line[:500]!r}") from None
    return found


def check_folder(folder: Path, run: Run) -> None:
    """Check a computed folder: its files, and that its counts add up."""
    if run.code not in (0, 4):
        expect(not folder.exists(), "compute failed, and left a folder", run.err)
        return
    expect({one.name for one in folder.iterdir()} == FILES, "files", list(folder.iterdir()))
    counts = json.loads((folder / MANIFEST).read_bytes())["counts"]
    observations = lines_of(folder / OBSERVATIONS)
    issues = lines_of(folder / ISSUES)
    expect(counts["observations"] == len(observations), "count of observations", counts)
    expect(counts["provenances"] == len(lines_of(folder / PROVENANCES)), "provenances", counts)
    names = Counter(one["id"] for one in observations)
    expect(max(names.values(), default=1) == 1, "two Observations of one id", names.most_common(2))
    read = sum(counts["read_by_type"].values())
    other = sum(counts["other_types"].values())
    not_used = sum(counts["not_used"].values())
    expect(counts["resources"] == read + other, "read, and of other types", counts)
    expect(counts["used"] >= 0, "a negative number is used", counts)
    expect(read == counts["used"] + not_used, "read = used + not used", counts)
    listed, summed, unreadable = _counted(issues)
    notes = sum(counts["notes"].values())
    expect(
        listed + summed == not_used + notes, "issues = not used + notes", (counts, listed, summed)
    )
    expect(unreadable == counts["unreadable"], "unreadable ones are listed", counts)
    expect((run.code == 4) == bool(counts["unreadable"]), "exit 4 if unreadable", run.code)


def _counted(issues: list[Any]) -> tuple[int, int, int]:
    """How many issues name a resource, how many resources are only counted, how many unreadable."""
    listed = summed = unreadable = 0
    for outcome in issues:
        issue = outcome["issue"][0]
        reason = issue["details"]["coding"][-1]["code"]
        # An older version is counted by its type, and listed by its id.
        what = "[A-Za-z]+" if reason == "superseded" else ".*"
        count = re.fullmatch(rf"{what}: (\d+) resources", issue["diagnostics"], re.DOTALL)
        if reason == "unreadable":
            unreadable += 1
        elif count and reason in ("unmapped-code", "not-in-cohort", "own-output", "superseded"):
            summed += int(count[1])
        else:
            listed += 1
    return listed, summed, unreadable


def of_bystanders(folder: Path) -> list[bytes]:
    """The lines of the patients who are never mutated."""
    subjects = [f'"reference":"Patient/{name}"'.encode() for name in BYSTANDERS]
    found = []
    for line in (folder / OBSERVATIONS).read_bytes().splitlines():
        if any(subject in line for subject in subjects):
            found.append(line)
    return found


# A code may be as long as a site writes it; the reader's own limit is 131,072 characters.
csv.field_size_limit(1 << 30)

Value = tuple[str, str]
_NUMBER = re.compile(r"[<>=≤≥]*\s*(-?[0-9.]+)")


def _short(value: str) -> str:
    """A value as all outputs can be compared by: its first word, a number to two decimals."""
    word = value.split(" ")[0].strip("<>=≤≥,")
    try:
        return str(round(float(Decimal(word)), 2))
    except (InvalidOperation, ValueError, OverflowError):
        return word


def published_values(folder: Path, patient: str) -> dict[tuple[str, str], Value]:
    """Of each endpoint and time point of a patient, its status and value as published."""
    found = {}
    for one in lines_of(folder / OBSERVATIONS):
        if one["subject"]["reference"] == f"Patient/{patient}":
            key = one["code"]["coding"][0]["code"]
            parts = {part["code"]["coding"][0]["code"]: part for part in one.get("component", ())}
            point = parts.get("time-point")
            when = point["valueCodeableConcept"]["coding"][0]["code"] if point else ""
            found[key, when] = (one["status"], _published(one))
    return found


def _published(one: Any) -> str:
    if "dataAbsentReason" in one:
        return "absent"
    if "valueCodeableConcept" in one:
        return _short(str(one["valueCodeableConcept"]["coding"][0]["code"]))
    if "valueQuantity" in one:
        return _short(str(one["valueQuantity"]["value"]))
    return _short(str(one["valueInteger"])) if "valueInteger" in one else "range"


def check_explanation(story: Any, published: dict[tuple[str, str], Value]) -> None:
    """Check that an explanation states the endpoints that were published of the same patient."""
    told = {(one["endpoint"], one["time_point"]): one for one in story["endpoints"]}
    expect(
        told.keys() == published.keys(), "explain: other endpoints", told.keys() ^ published.keys()
    )
    for key, (status, value) in published.items():
        expect(told[key]["status"] == status, "explain: another status", (key, told[key], status))
        said = told[key]["value"]
        if value == "absent":
            expect(said.startswith("absent"), "explain: not absent", (key, said))
        elif value != "range":
            expect(_short(said) == value, "explain: another value", (key, said, value))


def check_table(path: Path, published: dict[str, dict[tuple[str, str], Value]]) -> None:
    """Check that a cohort's table of endpoints states what was published of each patient."""
    told: dict[str, dict[tuple[str, str], Any]] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            point = row["time_point"].removeprefix("follow-up")
            told.setdefault(row["patient"].lstrip("'"), {})[row["endpoint"], point] = row
    expect(
        told.keys() == published.keys(), "cohort: other patients", (told.keys(), published.keys())
    )
    for patient, endpoints in published.items():
        rows = told[patient]
        expect(
            rows.keys() == endpoints.keys(),
            "cohort: other endpoints",
            rows.keys() ^ endpoints.keys(),
        )
        for key, (status, value) in endpoints.items():
            row = rows[key]
            expect(row["status"] == status, "cohort: another status", (key, row, status))
            if value == "absent":
                expect(row["absent"] != "", "cohort: not absent", (key, row))
            elif value != "range":
                said = _short(row["value"])
                expect(
                    said == value or _is_near(said, value),
                    "cohort: another value",
                    (key, row, value),
                )


def check_not_used(path: Path, computed: Path) -> None:
    """Check that a cohort's table of what is not used has the numbers of a computed folder."""
    counts = json.loads((computed / MANIFEST).read_bytes())["counts"]
    expected = Counter(counts["not_used"]) + Counter(unreadable=counts["unreadable"])
    told: Counter[str] = Counter()
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            told[row["reason"]] += int(row["count"])
    expect(told == expected, "cohort: other numbers are not used", (told, expected))


def _is_near(one: str, other: str) -> bool:
    try:
        return abs(float(one) - float(other)) < 0.011
    except ValueError:
        return False


class _Elements(HTMLParser):
    """The names of a page's elements and attributes, comments among them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {tag, *(f"{tag} {name}" for name, _ in attrs)}

    def handle_comment(self, data: str) -> None:
        self.names.add("comment")


def check_page(text: str, name: str) -> None:
    """A page has no element that text of a record can make, and hides none of its text."""
    found = _Elements(text).names
    made = sorted(one for one in found if one in {*_NEVER, "script src"} or " on" in one)
    expect(not made, "a page has elements of a record", (name, made))
    hidden = [line for line in text.split("\n") if not line.replace("\t", "").isprintable()]
    expect(not hidden, "a page hides text", (name, hidden[:3]))
