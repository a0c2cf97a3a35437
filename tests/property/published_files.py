"""Reads every number off the files that an aggregate consists of, as somebody who receives them.

Nothing of the program's own account of what it publishes is used. A page, a drawing or a file of
data is cut into short pieces of text. Each piece with a digit has to be one that says a number of
a known group of patients, which is returned by its name, or one that an aggregate about nobody in
particular has as well: anything else is a number that nobody has looked at.
"""

import base64
import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

#: A group by what it is of and which one, as in ``attacker.Count``.
Name = tuple[Any, ...]
NOT_SHOWN = "not shown"
_DASH = "–"
#: A proportion with its percentage and its interval.
_SHARE = r"(\d+)/(\d+)(?: \([\d.]+ %\))?"
_PERCENT = r"[\d.]+ %(?: \([\d.]+ to [\d.]+\))?"
#: A median with its quartiles, which are values and no numbers of patients.
_MEDIAN = r"-?[\d.]+ \(-?[\d.]+ to -?[\d.]+\)"
_TOLD_ATTRIBUTES = ("alt", "aria-label", "title")


@dataclass
class Piece:
    """A piece of text: of which file, section and part of it; of a row, its cells and headings."""

    file: str
    section: str
    cells: tuple[str, ...]
    headings: tuple[str, ...] = ()
    title: str = ""

    @property
    def text(self) -> str:
        return " | ".join(self.cells)


@dataclass
class Told:
    """What files say: numbers of groups by name, and pieces with a digit that are of no group.

    ``copies``: numbers that a drawing or its description repeats.
    """

    numbers: dict[Name, set[int]] = field(default_factory=dict)
    rest: list[Piece] = field(default_factory=list)
    copies: list[tuple[Piece, int]] = field(default_factory=list)

    def add(self, name: Name, number: str | int) -> None:
        self.numbers.setdefault(name, set()).add(int(number))


# --------------------------------------------------------------------------- pieces of text


class _Page(HTMLParser):
    """The pieces of a page: rows of tables, and the texts of all other elements."""

    _ALONE = frozenset(
        {"p", "dt", "dd", "h1", "h2", "h3", "h4", "li", "caption", "figcaption", "title"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[Piece] = []
        self.drawings: list[str] = []
        self.pictures: list[bytes] = []
        self._section = "head"
        self._caption = self._title = ""
        self._headings: tuple[str, ...] = ()
        self._cells: list[str] | None = None
        self._text: list[str] = []
        self._script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        for name in _TOLD_ATTRIBUTES:
            if name in known:
                self._say((known[name],))
        if tag == "h2":
            self._section, self._caption, self._title = known.get("id", ""), "", ""
        if tag == "img":
            kind, _, content = known["src"].partition(",")
            assert kind == "data:image/svg+xml;base64"
            self.pictures.append(base64.b64decode(content))
        if tag in ("script", "style"):
            self._script = known.get("type", tag)
        elif tag == "tr":
            self._cells = []
        elif tag in ("th", "td", *self._ALONE):
            self._text = []

    def handle_endtag(self, tag: str) -> None:
        text = re.sub(r"\s+", " ", "".join(self._text)).strip()
        if tag in ("script", "style"):
            if self._script == "application/json":
                self.drawings.append("".join(self._text))
            self._script, self._text = None, []
        elif tag in ("th", "td") and self._cells is not None:
            self._cells.append(text)
        elif tag == "tr" and self._cells is not None:
            self._say(tuple(self._cells))
            self._cells = None
        elif tag == "thead":
            # Headings are those of their own row as well.
            last = self.pieces[-1]
            last.headings = self._headings = last.cells
        elif tag in self._ALONE:
            self._say((text,))
            if tag == "h3":
                self._title, self._caption = text, ""
            elif tag == "caption":
                self._caption = text
        else:
            return
        self._text = []

    def handle_data(self, data: str) -> None:
        if self._script is None or self._script == "application/json":
            self._text.append(data)

    def _say(self, cells: tuple[str, ...]) -> None:
        section = f"{self._section}/{self._caption}" if self._caption else self._section
        piece = Piece("report.html", section, cells, self._headings, self._title)
        self.pieces.append(piece)


def _leaves(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _leaves(value, (*path, str(key)))
    else:
        yield path, content


def _drawn_texts(svg: bytes) -> Iterator[str]:
    """The words of a drawing, the numbers at its axes aside; its marks are where its data say."""
    todo = [ElementTree.fromstring(svg)]
    while todo:
        element = todo.pop()
        if "role-axis-label" not in element.get("class", ""):
            todo += element
            if element.text and element.text.strip():
                yield element.text.strip()


def pieces_of(folder: Path) -> tuple[list[Piece], list[Piece]]:
    """What the files say first, and what drawings repeat of it."""
    page = _Page()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    first, copies = page.pieces, []
    for svg in [*page.pictures, *(one.read_bytes() for one in folder.glob("figures/*.svg"))]:
        copies += [Piece("svg", "", (text,)) for text in _drawn_texts(svg)]
    for drawing in page.drawings:
        for path, value in _leaves(json.loads(drawing)):
            if "/data/values/" in "/".join(("", *path)):
                copies.append(Piece("vega", path[-1], (str(value),)))
    for file in sorted(folder.rglob("*.csv")):
        lines = list(csv.reader(file.open(encoding="utf-8", newline="")))
        copies += [Piece(file.name, "", tuple(line), tuple(lines[0])) for line in lines[1:]]
    for file in sorted(folder.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        for path, value in _leaves(content):
            first.append(Piece(file.name, "/".join(path), (str(value),)))
    for line in (folder / "methods.md").read_text(encoding="utf-8").splitlines():
        first.append(Piece("methods.md", "", (line,)))
    known = {"report.html", "methods.md", "flow.json", "rates.json", "manifest.json"}
    known |= {"Measure.json", "MeasureReport.json"}
    files = {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}
    unknown = {one for one in files - known if not re.fullmatch(r"figures/[^/]+\.(csv|svg)", one)}
    assert not unknown, f"files of an aggregate that nobody has read: {unknown}"
    return first, copies


# --------------------------------------------------------------------------- what they are of


class Reader:
    """Reads the pieces of an aggregate's files.

    ``columns``: the columns of the table of patients by the words that stand in the report for
    them; ``keys``: the names of the baseline characteristics by theirs. ``marks``: the words of
    each mark of a score, and its key.
    """

    def __init__(self, words: "Words", nobody: set[tuple[str, str]]) -> None:
        self._words = words
        #: Pieces that an aggregate of which nothing is shown has as well.
        self._nobody = nobody
        self._told = Told()
        self._evaluable: dict[str, str] = {}

    def read(self, folder: Path) -> Told:
        first, copies = pieces_of(folder)
        for piece in first:
            if piece.file == "flow.json" and piece.section.startswith("evaluable/"):
                self._keep_evaluable(piece)
        for piece in first:
            rule = self._rule(piece)
            if not re.search(r"\d", piece.text) or (piece.file, piece.text) in self._nobody:
                continue
            if (rule is None or not rule(piece)) and not self._only_words(piece):
                self._told.rest.append(piece)
        for piece in copies:
            if (piece.file, piece.text) in self._nobody:
                continue
            self._told.copies += [(piece, int(one)) for one in _whole_numbers(piece)]
        return self._told

    def _only_words(self, piece: Piece) -> bool:
        """Whether the digits of a title are those of the names of endpoints and time points."""
        text = piece.text
        for known in self._words.titles:
            text = text.replace(known, "")
        return len(piece.cells) == 1 and not re.search(
            r"\d", re.sub(r"(6|12) months|95 % CI", "", text)
        )

    def _rule(self, piece: Piece) -> Callable[[Piece], bool] | None:
        if piece.file != "report.html":
            return {
                "flow.json": self._flow_json,
                "rates.json": self._rates_json,
                "MeasureReport.json": self._measure,
                "methods.md": self._sentence,
            }.get(piece.file)
        section = piece.section.partition("/")[0]
        return {
            "summary": self._summary,
            "flow": self._flow,
            "baseline": self._baseline,
            "table": self._results,
            "disease-free": self._disease_free,
            "survival": self._survival,
            "groups": self._groups,
            "psa": self._psa,
            "scores": self._scores,
            "complications": self._complications,
            "evaluable": self._known,
            "not-used": self._not_used,
            "methods": self._sentence,
        }.get(section)

    # ----- files of data

    def _keep_evaluable(self, piece: Piece) -> None:
        _, number, what = piece.section.split("/")[:3]
        if what in ("endpoint", "time_point"):
            self._evaluable[f"{number}/{what}"] = piece.text

    def _column(self, code: str, point: str) -> str:
        column = code.removeprefix("prom-score-")
        column += "" if point == "follow-up" else f"_{point}"
        return column.replace("-", "_")

    def _flow_json(self, piece: Piece) -> bool:
        path = piece.section.split("/")
        if path[0] == "evaluable":
            if path[-1] != "patients":
                return path[-1] in ("endpoint", "time_point")
            code, point = (
                self._evaluable[f"{path[1]}/{one}"] for one in ("endpoint", "time_point")
            )
            self._told.add(("known", self._column(code, point)), piece.text)
            return True
        if piece.section == "resources_read":
            return self._hundreds(piece.text)
        if piece.section == "unreadable":
            return piece.text == "0"
        step = {"patients_read": "read", "with_index_candidate": "candidates"}.get(path[0])
        if path[0] == "cohort":
            self._told.add(("everybody",), piece.text)
        elif step:
            self._told.add(("flow", step), piece.text)
        elif path[0] == "lost" and path[-1] == "patients":
            self._told.add(("flow", "lost", path[1]), piece.text)
        elif path[0] == "no_index_procedure" and path[-1] == "patients":
            self._told.add(("flow", "not index", path[1]), piece.text)
        else:
            return False
        return True

    def _rates_json(self, piece: Piece) -> bool:
        _, number, what = piece.section.split("/")
        if what in ("key", "words"):
            return (piece.file, piece.text) in self._nobody
        column = self._words.rates[int(number)]
        known, yes = ("known", _whole(column)), ("yes", column)
        self._told.add(yes if what == "successes" else known, piece.text)
        return True

    def _measure(self, piece: Piece) -> bool:
        landmark = self._words.columns["Disease-free"]
        for number, name in enumerate(
            (("everybody",), ("everybody",), ("absent", "disease-free"), ("yes", landmark))
        ):
            if piece.section == f"group/0/population/{number}/count":
                self._told.add(name, piece.text)
                return True
        # A share of numbers that stand beside it.
        if piece.section == "group/0/measureScore/value":
            return True
        return piece.section.startswith("group/0/measureScore/") and piece.text == "1"

    # ----- the report

    def _match(self, pattern: str, text: str, *names: Name) -> bool:
        """Take the numbers of a text that is of this form; one pattern group for each name."""
        found = re.fullmatch(pattern, text)
        if found is None:
            return False
        for name, number in zip(names, found.groups(), strict=True):
            if number is not None:
                self._told.add(name, number)
        return True

    def _sentence(self, piece: Piece) -> bool:
        found = re.search(r" (\d+) patients are in the cohort\.", piece.text)
        if found is None:
            return False
        self._told.add(("everybody",), found[1])
        rest = piece.text.partition(found[0])[0]
        rest += " The number of patients in the cohort is not shown."
        if not re.fullmatch(r"( The source holds no \D*)?", piece.text.partition(found[0])[2]):
            return False
        return (piece.file, rest) in self._nobody

    def _proportion(self, text: str, column: str, more: str = "") -> bool:
        names = (("yes", column), ("known", _whole(column)))
        return text in (NOT_SHOWN, _DASH) or self._match(f"{_SHARE}{more}", text, *names)

    def _summary(self, piece: Piece) -> bool:
        text = piece.text
        if self._match(r"(\d+)", text, ("everybody",)) or self._words.column(text):
            return True
        # Percentages, and proportions that the table of results names; medians of the nadir.
        share = rf"{_PERCENT}|\d+/\d+(, 95 % CI [\d.]+ to [\d.]+)?(; published .*)?"
        return bool(re.fullmatch(rf"{share}|{_MEDIAN}|reached after {_MEDIAN} months", text))

    def _flow(self, piece: Piece) -> bool:
        if len(piece.cells) == 1:
            return self._copied(piece)
        words, number = piece.cells
        steps = {
            "Patients read": ("flow", "read"),
            "With a procedure that can be the index": ("flow", "candidates"),
            "In the cohort": ("everybody",),
        }
        return self._match(r"(\d+)", number, steps.get(words, ("flow", "some", words)))

    def _copied(self, piece: Piece) -> bool:
        self._told.copies += [(piece, int(one)) for one in _whole_numbers(piece)]
        return True

    def _baseline(self, piece: Piece) -> bool:
        if len(piece.cells) == 1:
            return self._caption(piece)
        words, value, known, missing = piece.cells
        key = self._words.keys[words]
        return (
            self._levels(value, key)
            and (known == NOT_SHOWN or self._match(r"(\d+)", known, ("known", key)))
            and (missing == NOT_SHOWN or self._match(r"(\d+)", missing, ("missing", key)))
        )

    def _caption(self, piece: Piece) -> bool:
        return self._match(r".*? of (\d+) patients\b.*", piece.text, ("everybody",)) and bool(
            re.fullmatch(r"\D*\d+\D*", piece.text)
        )

    def _levels(self, text: str, key: str, *group: str) -> bool:
        if text in (NOT_SHOWN, _DASH) or re.fullmatch(_MEDIAN, text):
            return True
        for level in text.split("; "):
            words, _, number = level.rpartition(": ")
            if not self._match(r"(\d+) \(\d+ %\)", number, ("level", key, words, *group)):
                return False
        return True

    def _results(self, piece: Piece) -> bool:
        if len(piece.cells) != 4 or piece.cells == piece.headings:
            return piece.cells == piece.headings
        words, ours, shares, _ = piece.cells
        column = self._words.column(words)
        if words == "Patients":
            return self._match(r"(\d+)", ours, ("everybody",)) and shares == _DASH
        if column is None:
            return self._tested_row(words, ours, shares)
        if words.startswith("Not evaluable"):
            names = (("absent", "disease-free"), ("everybody",))
            share = rf"{_SHARE}: (?:{_PERCENT}|{_DASH})"
            return self._match(share, shares, *names) and self._match(r"(\d+)", ours, names[0])
        if re.fullmatch(r"\d+", ours):
            self._told.add(("yes", column), ours)
        elif not self._proportion(ours, column):
            return ours in ("not recorded", "not estimable")
        return self._proportion(shares, column, f": (?:{_PERCENT}|{_DASH})")

    def _tested_row(self, words: str, ours: str, shares: str) -> bool:
        found = re.fullmatch(r"(.*) at (\S+), n = (\d+)", words)
        if found is None:
            return ours == NOT_SHOWN and shares == _DASH and words in self._words.bare_changes
        instrument = self._words.instruments[found[1]]
        column = f"{instrument}_change_{found[2].replace('-', '_')}"
        self._told.add(("known", column), found[3])
        tested = r"(better|worse), P [<=] \.\d+|no significant change|no change|no pair|not shown"
        return bool(re.fullmatch(tested, ours)) and bool(
            re.fullmatch(rf"median change ({_MEDIAN}|{_DASH}|{NOT_SHOWN})", shares)
        )

    def _disease_free(self, piece: Piece) -> bool:
        if len(piece.cells) != 6:
            return False
        rule = piece.cells[0].split()[0]
        column = f"disease_free_12_months_salvage_{rule}"
        both = (("yes", column), ("answered", column))
        return (
            self._proportion(piece.cells[1], column)
            and bool(re.fullmatch(rf"{_PERCENT}|{NOT_SHOWN}|{_DASH}", piece.cells[2]))
            and (
                piece.cells[3] == NOT_SHOWN
                or self._match(rf"{_SHARE}: (?:{_PERCENT}|{_DASH})", piece.cells[3], *both)
            )
            and piece.cells[4:] == (f"{NOT_SHOWN} to {NOT_SHOWN}", NOT_SHOWN)
        )

    def _survival(self, piece: Piece) -> bool:
        if piece.text.startswith("Figure") or "Kaplan-Meier estimates of" in piece.text:
            return self._copied(piece)
        column = self._words.known.get(piece.title)
        if column is None or piece.cells == piece.headings:
            return column is not None
        if piece.headings[:1] == ("Months",) and len(piece.cells) == 4:
            day = round(int(piece.cells[0]) * 30.4375)
            band = r"\d\.\d\d( \(\d\.\d\d to \d\.\d\d\))?"
            return (
                bool(re.fullmatch(band, piece.cells[1]))
                and self._match(r"(\d+)", piece.cells[2], ("at risk", column, day))
                and self._match(r"(\d+)", piece.cells[3], ("by", column, day))
            )
        count = rf"(\d+)|{NOT_SHOWN}"
        interval = r"(?: (\d+) of the events (?:is|are) known only as an interval, and each counts"
        interval += r" on its middle day\.| Some events may be known only as an interval;.*)?"
        return self._match(
            rf"[^\d]*\. (?:{count}) patients, (?:{count}) events; median {NOT_SHOWN}\.{interval}",
            piece.text,
            ("known", column),
            ("yes", f"{column}_event"),
            ("interval", column),
        )

    def _groups(self, piece: Piece) -> bool:
        if len(piece.cells) == 1:
            return self._match(r"(\d+) patients are in no group.*", piece.text, ("everybody", None))
        if piece.cells[0] in ("Characteristic", "Endpoint"):
            names = []
            for cell in piece.cells[1:]:
                if cell != "Log-rank test":
                    words, _, number = cell.rpartition(" (n = ")
                    names.append(words)
                    self._told.add(("everybody", words), number.rstrip(")"))
            self._names = names
            return True
        of_groups, p = piece.cells[1 : 1 + len(self._names)], piece.cells[1 + len(self._names) :]
        if not all(re.fullmatch(rf"P [<=] \.\d+|{_DASH}", one) for one in p):
            return False
        return all(
            self._of_group(piece.cells[0], cell, group)
            for cell, group in zip(of_groups, self._names, strict=True)
        )

    def _of_group(self, words: str, cell: str, group: str) -> bool:
        key = self._words.keys.get(words)
        if key is not None:
            value, _, missing = cell.partition(" not recorded")[0].rpartition("; ")
            if not cell.endswith(" not recorded"):
                return self._levels(cell, key, group)
            self._told.add(("missing", key, group), missing)
            return self._levels(value, key, group)
        column = self._words.column(words)
        names = (("yes", column, group), ("known", _whole(str(column)), group))
        return cell == NOT_SHOWN or self._match(rf"{_SHARE}: (?:{_PERCENT}|{_DASH})", cell, *names)

    def _psa(self, piece: Piece) -> bool:
        if self._match(
            rf"PSA nadir: median {_MEDIAN} ng/mL, n = (\d+); reached after"
            rf" (?:{_MEDIAN} months|{NOT_SHOWN} months)\.",
            piece.text,
            ("known", "psa_nadir"),
        ):
            return True
        return self._match(
            rf"{_SHARE} patients had hormone therapy.*rule: \w+\.",
            piece.text,
            ("yes", "salvage_therapy"),
            ("everybody",),
        )

    def _scores(self, piece: Piece) -> bool:
        section = piece.section.partition("/")[2]
        if len(piece.cells) == 1:
            figure = piece.text.startswith("Figure") or ", median (quartiles): " in piece.text
            return self._copied(piece) if figure or "Completeness of" in piece.text else False
        if section == "Scores by time point":
            return self._point(piece)
        if section.startswith("Changes since baseline"):
            return self._change(piece)
        return self._marked(piece, section)

    def _point(self, piece: Piece) -> bool:
        words, point, scored, percent, scores = piece.cells
        at = point.replace(" ", "_")
        names = (("known", f"{self._words.instruments[words]}_{at}"), ("expected", at))
        return (
            (scored == NOT_SHOWN or self._match(_SHARE, scored, *names))
            and bool(re.fullmatch(rf"{_PERCENT}|{NOT_SHOWN}|{_DASH}", percent))
            and bool(re.fullmatch(rf"{_MEDIAN}|{NOT_SHOWN}|{_DASH}", scores))
        )

    _TESTED = (
        rf"{_MEDIAN}|{NOT_SHOWN}|{_DASH}",
        rf"P [<=] \.\d+|{NOT_SHOWN}|{_DASH}",
        rf"-?\d\.\d\d|{NOT_SHOWN}|{_DASH}",
    )

    def _change(self, piece: Piece) -> bool:
        words, point, pairs, *tested, important = piece.cells
        instrument = self._words.instruments[words.rpartition(" (")[0]]
        column = f"{instrument}_change_{point.replace(' ', '_')}"
        if pairs != NOT_SHOWN:
            self._told.add(("known", column), pairs)
        if not all(map(re.fullmatch, self._TESTED, tested)):
            return False
        found = re.fullmatch(r"(\d+)/(\d+) / (\d+)/(\d+) by \d+ points", important)
        if found is None:
            return important in (NOT_SHOWN, "no sourced difference")
        self._told.add(("responders", column, "better"), found[1])
        self._told.add(("responders", column, "worse"), found[3])
        self._told.add(("known", column), found[2])
        self._told.add(("known", column), found[4])
        return True

    def _marked(self, piece: Piece, section: str) -> bool:
        found = re.fullmatch(r"(.*) at (.*): the change with and without marked scores", section)
        if found is None:
            return False
        column = f"{self._words.instruments[found[1]]}_change_{found[2].replace(' ', '_')}"
        words, number, *tested = piece.cells
        if not all(map(re.fullmatch, self._TESTED, tested)):
            return False
        mark = re.fullmatch(r"Without (\d+) with the mark: (.*)", words)
        if mark is None:
            return words == "All" and (
                number == NOT_SHOWN or self._match(r"(\d+)", number, ("known", column))
            )
        key = self._words.marks[mark[2]]
        self._told.add(("marked", column, key), mark[1])
        return number == NOT_SHOWN or self._match(r"(\d+)", number, ("unmarked", column, key))

    def _complications(self, piece: Piece) -> bool:
        section = piece.section.partition("/")[2]
        if len(piece.cells) == 1:
            found = re.match(r"(.*?): (\d+) patients with complications are not in the", piece.text)
            if found is None:
                return (
                    self._copied(piece)
                    if "Clavien-Dindo and SIR" in piece.text
                    or (piece.text.startswith("Patients by worst grade"))
                    else False
                )
            self._told.add(("left out", self._words.columns[found[1]]), found[2])
            return True
        if section.startswith("Patients with a complication"):
            words, share, percent, left_out = piece.cells
            column = self._words.columns[words]
            if not re.fullmatch(rf"{_PERCENT}|{NOT_SHOWN}|{_DASH}", percent):
                return False
            left = self._match(
                rf"{NOT_SHOWN}(?:; (\d+) of them with complications)?",
                left_out,
                ("left out", column),
            )
            stated = share in ("not recorded", "not estimable")
            return left and (stated or self._proportion(share, column))
        if section == "Kinds of attributed complications":
            words, events, patients = piece.cells
            kind = self._words.kinds[words]
            return events == NOT_SHOWN and self._match(r"(\d+)", patients, ("kind", kind))
        if section.startswith("Patients by worst"):
            row, *cells, total = piece.cells
            grades = [one.removeprefix("SIR ") for one in piece.headings[1:-1]]
            for grade, cell in zip(grades, cells, strict=True):
                self._told.add(("grades", row, grade), cell)
            return int(total) == sum(map(int, cells))
        return False

    def _known(self, piece: Piece) -> bool:
        if len(piece.cells) == 1:
            return self._caption(piece)
        words, point, known, others = piece.cells
        column = self._words.instruments.get(words) or self._words.known[words]
        column += "" if point == "follow-up" else f"_{point.replace(' ', '_')}"
        return others in (NOT_SHOWN, _DASH) and (
            known == NOT_SHOWN or self._match(r"(\d+)", known, ("known", column))
        )

    def _not_used(self, piece: Piece) -> bool:
        return len(piece.cells) == 3 and self._hundreds(piece.cells[2])

    @staticmethod
    def _hundreds(number: str) -> bool:
        return int(number) > 0 and int(number) % 100 == 0


def _whole(column: str) -> str:
    """The column in which those of whom something is asked have a value: the time of an event."""
    return re.sub(r"(time_to_\w+|\w+_survival)_event", r"\1", column)


#: Columns of the data of figures that have no numbers of patients.
_VALUES = {"day", "month", "survival", "lower", "upper", "lower_95", "upper_95", "percent"}
_VALUES |= {"median", "q1", "q3", "minimum", "maximum"}
#: What is not a number of patients in the words of a figure.
_NO_COUNT = rf"Figure [\d.]+|{_MEDIAN}|\d+[- ]months|of \d+ instruments|95 %|by \d+ points"


def _whole_numbers(piece: Piece) -> Iterable[str]:
    """The numbers that can be of patients in what a figure or its data say."""
    if piece.file.endswith(".csv"):
        of_column = zip(piece.headings, piece.cells, strict=True)
        return [one for name, one in of_column if name not in _VALUES and one.isdecimal()]
    if piece.section in _VALUES:
        return []
    return re.findall(r"(?<![\w.,:+-])\d+(?![\w%]|[.,]\d| %|-)", re.sub(_NO_COUNT, "", piece.text))


@dataclass(frozen=True)
class Words:
    """What the words of a report stand for.

    ``columns``: of the table of patients, by the words of a rate or a time; ``known``: by the words
    of an endpoint. ``rates``: the columns of the rates of ``rates.json`` in order. ``keys``: the
    baseline characteristics. ``instruments``: in the table, by their words, the short ones too.
    ``bare_changes``: the words of a tested change of which nothing is shown.
    """

    columns: dict[str, str]
    known: dict[str, str]
    rates: tuple[str, ...]
    keys: dict[str, str]
    instruments: dict[str, str]
    marks: dict[str, str]
    kinds: dict[str, str]
    bare_changes: frozenset[str]

    @property
    def titles(self) -> list[str]:
        """The names of endpoints and instruments, longer ones first."""
        return sorted((*self.known, *self.instruments), key=len, reverse=True)

    def column(self, words: str) -> str | None:
        """The column of the words of a rate, which may say more: "Disease-free at 12 months"."""
        for known, column in self.columns.items():
            if words.startswith(known):
                return column
        return None
