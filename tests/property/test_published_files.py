"""The attack on an aggregate, with numbers that are read off its files alone."""

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fhircryo
from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.endpoints.labels import label
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.research.aggregate import aggregated
from fhircryo.research.aggregate_flow import rounded
from fhircryo.research.baseline_summary import characteristic
from fhircryo.research.cohort_tables import Cohort
from fhircryo.research.complication_summary import kind_words
from fhircryo.research.grouping import Grouping
from fhircryo.research.statistics.disclosure import Ledger
from fhircryo.research.statistics.suppress import POOLED
from fhircryo.settings import Settings
from tests.property import attacker
from tests.property.attacker import Count, Profile, Question
from tests.property.published_files import Name, Reader, Told, Words, pieces_of
from tests.unit.inputs import AS_OF, COHORT, cli

THRESHOLD = 5
#: Reasons why candidates can be lost that none of the cohort was lost for.
REASONS = ("objected (--exclude)", "labelled as test data")
PROTOCOL, MAPPINGS = load_protocol(), load_mappings()
KEYS = {
    "Age, years": "age_years",
    "PSA, ng/mL": "baseline_psa",
    "PSA doubling time, months": "psa_doubling_time",
    "PSA not rising": "psa_not_rising",
    "Radiotherapy to index, years": "radiotherapy_interval",
    "Prostate volume, mL": "prostate_volume",
    "Prior radiotherapy": "prior_radiotherapy",
    "ISUP grade group": "isup_grade_group",
    "Gleason score": "gleason_score",
    "Clinical T category": "clinical_t_category",
    "Hormone therapy at index": "hormone_therapy_at_index",
}
#: The columns of the rates of ``rates.json`` in their order.
RATES = (
    "disease_free_12_months",
    "major_complication_clavien",
    "major_complication_sir",
    "salvage_therapy",
    "time_to_biochemical_failure_event",
    "biochemical_failure_confirmed",
    "technical_success",
    "metastasis_within_6_months",
)


def words() -> Words:
    """What the words of a report stand for under the protocol of the example."""
    known = {label(one, PROTOCOL): one.key.replace("-", "_") for one in CATALOGUE}
    columns = {
        f"{words}: event": f"{column}_event"
        for words, column in known.items()
        if column.startswith("time_to") or column.endswith("survival")
    }
    columns |= {
        "Disease-free": "disease_free_12_months",
        "Not evaluable": "disease_free_12_months",
        "Metastasis within 6 months": "metastasis_within_6_months",
        "Salvage therapy": "salvage_therapy",
        **{words: column for words, column in known.items() if not words.startswith("Disease-f")},
    }
    instruments, marks = {}, {}
    for one in MAPPINGS.instruments:
        key = one.key.replace("-", "_")
        instruments |= {one.words: key, one.words.split(",")[0]: key}
        marks |= {mark.words: mark.key for mark in one.marks}
    bare = {
        f"{one.words.split(',')[0]} at {row.time_point}"
        for row in PROTOCOL.published
        for one in MAPPINGS.instruments
        if row.instrument == one.key
    }
    kinds = {words: kind for kind, words in kind_words(MAPPINGS).items()}
    return Words(columns, known, RATES, KEYS, instruments, marks, kinds, frozenset(bare))


# --------------------------------------------------------------------------- cohorts


Resource = dict[str, Any]
_OF = re.compile(r'(?:Patient/|"resourceType":"Patient","id":")([\w-]+)')


def by_patient() -> dict[str, list[str]]:
    """The resources of each patient of the example as JSON; those of nobody are of ""."""
    lines: list[str] = []
    for file in sorted(COHORT.glob("*.ndjson*")):
        content = file.read_bytes()
        content = gzip.decompress(content) if file.suffix == ".gz" else content
        lines += content.decode().splitlines()
    entries = json.loads((COHORT / "transfer-2017.json").read_text())["entry"]
    lines += [json.dumps(one["resource"], separators=(",", ":")) for one in entries]
    found: dict[str, list[str]] = {"": []}
    for line in lines:
        of = _OF.search(line)
        found.setdefault(of[1] if of else "", []).append(line.strip())
    return found


def write_clones(folder: Path, chosen: list[str]) -> Path:
    """Patients of the example under new ids, as often as they are chosen."""
    folder.mkdir()
    resources = by_patient()
    with (folder / "all.ndjson").open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in resources[""])
        for number, patient in enumerate(chosen):
            ids = {json.loads(line)["id"] for line in resources[patient]} | {patient}
            known = re.compile("|".join(rf"(?<=[\"/]){re.escape(one)}(?=[\"/])" for one in ids))
            for line in resources[patient]:
                file.write(known.sub(rf"\g<0>-{number}", line) + "\n")
    return folder


class Aggregate:
    """An aggregate that the command wrote, and the cohort behind it."""

    def __init__(self, source: Path, target: Path, *options: str) -> None:
        self.ran = cli("cohort", source, target, "--as-of", AS_OF, "--aggregate-only", *options)
        self.folder = target
        self.cohort = fhircryo.cohort(source, as_of=AS_OF, settings=Settings(), identified=True)


@pytest.fixture(scope="module")
def nobody(tmp_path_factory) -> set[tuple[str, str]]:
    """What every aggregate says: the pieces of one about too few patients."""
    few = tmp_path_factory.mktemp("few")
    chosen = sorted(one for one in by_patient() if one)[:3]
    target = few / "out"
    source = write_clones(few / "in", chosen)
    options = ("--as-of", AS_OF, "--aggregate-only", "--measure-report")
    assert cli("cohort", source, target, *options).code == 0
    first, copies = pieces_of(target)
    return {(one.file, one.text) for one in (*first, *copies)}


def told(aggregate: Aggregate, nobody: set[tuple[str, str]]) -> Told:
    return Reader(words(), nobody).read(aggregate.folder)


# --------------------------------------------------------------------------- who is counted


#: How many words say what a number is of, without the group; 1 if not named here.
LENGTHS = {"everybody": 0} | dict.fromkeys(
    ("level", "marked", "unmarked", "responders", "at risk", "by", "grades"), 2
)


class Groups:
    """Whom a number counts, by its name; from the tables of a cohort alone.

    ``by``: the column that divides the cohort; ``names``: of its groups; None: of those of whom it
    is not known, who may be pooled with others.
    """

    def __init__(self, cohort: Cohort, by: str, names: frozenset[str | None]) -> None:
        self._read = attacker.Reader(cohort.analysis, cohort.tables, cohort.config)
        self._table = cohort["patients"]
        self._column, self._names = by, names

    def of(self, name: Name, levels: frozenset[str]) -> Any:
        """The patients of a name; ``levels``: those of its characteristic that have a name."""
        what, *rest = name
        if len(rest) > LENGTHS.get(what, 1):
            return self.of((what, *rest[:-1]), levels) & self.members(rest[-1])
        if what == "level":
            return self._level(*rest, levels)
        return getattr(self, f"_{what.replace(' ', '_')}")(*rest)

    def members(self, group: str | None) -> Any:
        values = self._table[self._column].astype(object)
        if self._table[self._column].dtype == "boolean":
            values = values.map({True: "yes", False: "no"})
        if group is None:
            return values.isna().to_numpy()
        if group == POOLED:
            named = values.isin(self._names) | (values.isna() if None in self._names else False)
            return ~named.to_numpy(dtype=bool)
        return attacker.truth(values.eq(group))

    def grouping(self) -> Grouping:
        """The groups, with those of whom it is not known in none."""
        of: list[str | None] = [None] * len(self._table)
        named = sorted(name for name in self._names if name is not None)
        for name in named:
            of = [name if one else other for one, other in zip(self.members(name), of, strict=True)]
        return Grouping(self._column, tuple(named), tuple(of))

    def _everybody(self) -> Any:
        return self._table["patient"].notna().to_numpy()

    def _values(self, key: str) -> Any:
        return characteristic(self._table, key) if key in KEYS.values() else self._table[key]

    def _known(self, column: str) -> Any:
        known = self._values(column).notna().to_numpy()
        event = f"{column}_event"
        return known & self._read.known(event) if event in self._table else known

    def _missing(self, key: str) -> Any:
        return ~self._known(key)

    def _yes(self, column: str) -> Any:
        return self._read.yes(column)

    def _absent(self, _: str) -> Any:
        return ~self._known("disease_free_12_months")

    def _answered(self, column: str) -> Any:
        reason = self._table[f"{column}_reason"].astype(object)
        return self._known(column) | attacker.truth(reason == "no-psa-response")

    def _interval(self, column: str) -> Any:
        return self._known(f"{column}_high")

    def _at_risk(self, column: str, day: int) -> Any:
        return self._known(column) & (self._read.days(column) >= day)

    def _by(self, column: str, day: int) -> Any:
        return self._yes(f"{column}_event") & (self._read.days(column) <= day)

    def _expected(self, at: str) -> Any:
        return self._yes(f"expected_{at}")

    def _marked(self, column: str, key: str) -> Any:
        return self._known(column) & self._yes(f"{column}_{key.replace('-', '_')}")

    def _unmarked(self, column: str, key: str) -> Any:
        return self._known(column) & ~self._marked(column, key)

    def _responders(self, column: str, which: str) -> Any:
        # In the only instrument with a minimal important difference, lower is worse.
        sign = 1 if which == "better" else -1
        return attacker.truth(sign * self._table[column] >= 10 - 1e-9)

    def _level(self, key: str, words: str, levels: frozenset[str]) -> Any:
        values = self._values(key).astype(object).map(str, na_action="ignore")
        if words != POOLED:
            return attacker.truth(values.eq(words))
        return (values.notna() & ~values.isin(levels)).to_numpy()

    def _kind(self, kind: str) -> Any:
        events = self._read.attributed()
        having = events["patient"][[kind in kinds.split(", ") for kinds in events["kinds"]]]
        return self._table["patient"].isin(having).to_numpy(dtype=bool)

    def _left_out(self, column: str) -> Any:
        having = self._table["patient"].isin(self._read.attributed()["patient"])
        return having.to_numpy(dtype=bool) & ~self._known(column)

    def _grades(self, row: str, column: str) -> Any:
        return self._graded("worst_clavien_dindo", row) & self._graded("worst_sir", column)

    def _graded(self, column: str, level: str) -> Any:
        grades = self._table[column].astype(object).fillna("not known")
        return grades.eq(level).to_numpy(dtype=bool)


def counts(told: Told, groups: Groups) -> list[Count]:
    """The counts of patients that were read; each is right, and the same everywhere."""
    found = []
    for name, numbers in told.numbers.items():
        if name[0] == "flow":
            continue
        shown = frozenset(
            one[2]
            for one in told.numbers
            if one[0] == "level" and one[1:2] == name[1:2] and one[3:] == name[3:]
        )
        patients = groups.of(name, shown)
        assert numbers == {int(patients.sum())}, (name, numbers, patients.sum())
        found.append(Count(name, int(patients.sum()), patients))
    return found


def with_known(read: list[Count]) -> list[Count]:
    """Counts, and of how many a characteristic is known where the others are counted."""
    by_name = {one.name: one for one in read}
    for name, one in list(by_name.items()):
        everybody = by_name.get(("everybody", *name[2:]))
        if name[0] == "missing" and everybody is not None:
            known, patients = ("known", *name[1:]), everybody.patients & ~one.patients
            by_name.setdefault(known, Count(known, int(patients.sum()), patients))
    return list(by_name.values())


# --------------------------------------------------------------------------- the flow


def _is(steps: set[str]) -> Any:
    return lambda one: one["is"] in steps


def flow_question(aggregate: Aggregate, told: Told) -> tuple[Question, list[Count]]:
    """From the source to the cohort: the numbers that were read, and what they could be of."""
    true, shown = aggregate.cohort.flow, json.loads((aggregate.folder / "flow.json").read_text())
    lost = {one.words: one.patients or 0 for one in true.lost}
    named = [one["why"] for one in shown["lost"]]
    others = (true.patients_read or 0) - (true.candidates or 0) - true.not_index
    sizes = {"cohort": true.cohort or 0, "not index": true.not_index, "others": others, **lost}
    steps: list[Profile] = [{"is": step} for step in (*sizes, *REASONS)]
    of = [{"is": step} for step, size in sizes.items() for _ in range(size)]
    candidates = {"cohort", *lost, *REASONS}
    groups: dict[Name, Any] = {
        ("everybody",): _is({"cohort"}),
        ("flow", "candidates"): _is(candidates),
        ("flow", "read"): lambda _: True,
        ("flow", "not index", "0"): _is({"not index"}),
    }
    for number, words in enumerate(named):
        some = {words} if words in lost else candidates - {"cohort", *named}
        groups["flow", "lost", str(number)] = _is(some)
    hidden = {str(step): _is({step}) for step in sizes}
    hidden["lost"] = _is(candidates - {"cohort"})
    read = [Count(name, min(numbers), np.array([])) for name, numbers in told.numbers.items()]
    for one in read:
        if one.name in groups:
            assert one.number == sum(map(groups[one.name], of)), one.name
    return Question(steps, of, groups, hidden), [one for one in read if one.name in groups]


def given_away(aggregate: Aggregate, told: Told, by: str = "age_years") -> list[str]:
    """What the files give away; nothing in them that is not looked at."""
    assert not told.rest, told.rest
    cohort = aggregate.cohort
    names = {name[-1] for name in told.numbers if name[0] == "everybody" and len(name) == 2}
    groups = Groups(cohort, by, frozenset(names))
    read = with_known(counts(told, groups))
    known = {one.number for one in read} | {
        number for name, numbers in told.numbers.items() if name[0] == "flow" for number in numbers
    }
    flow = [told.numbers.get(("flow", name), {0}) for name in ("read", "candidates")]
    known.add(min(flow[0]) - min(flow[1]))
    copied = [(one.text, number) for one, number in told.copies if number not in known]
    assert not copied, copied
    found = attacker.small_differences(read, THRESHOLD)
    shown = aggregated(cohort.analysis, cohort.tables, cohort.config, THRESHOLD)
    reader = attacker.Reader(shown, cohort.tables, cohort.config)
    for question in attacker.questions(reader):
        found += question.narrow(read, THRESHOLD)
    if names:
        # What is pooled of a group is not what is pooled of the cohort.
        one_pool = [one for one in read if one.name[2:3] != (POOLED,) or len(one.name) == 3]
        found += attacker.narrow_groups(reader, groups.grouping(), one_pool, THRESHOLD)
    question, steps = flow_question(aggregate, told)
    return found + question.narrow(steps, THRESHOLD)


# --------------------------------------------------------------------------- the attack


_STEPS = {"patients read": ("flow", "read"), "with a cryoablation": ("flow", "candidates")}
_STEPS |= {"in the cohort": ("everybody",)}


def told_by_messages(ran: Any, told: Told) -> list[str]:
    """Lines of the messages with a number that the files do not say."""
    odd = []
    listed = set().union(*(told.numbers[name] for name in told.numbers if name[0] == "flow"))
    for line in ran.err.splitlines():
        found = re.fullmatch(r"( *[a-z ]+?) +(\d+|hidden)(?:   .*)?", line)
        step = None if found is None else _STEPS.get(found[1])
        if found is None or found[2] == "hidden":
            odd += [line] if re.search(r"\d", line) else []
        elif int(found[2]) not in (told.numbers.get(step, set()) if step else listed):
            odd.append(line)
    return odd


def drawn(folder: Path, seed: int, size: int, kinds: int, *options: str) -> Aggregate:
    """An aggregate of patients of the example who were drawn again and again."""
    order = random.Random(seed)
    pool = order.sample(sorted(one for one in by_patient() if one), kinds)
    source = write_clones(folder / "in", order.choices(pool, k=size))
    return Aggregate(source, folder / "out", *options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "size", "kinds", "by"),
    [(1, 62, 74, None), (2, 24, 3, None), (3, 150, 74, "prior_radiotherapy")],
)
def test_nothing_can_be_computed_from_the_files(seed, size, kinds, by, tmp_path, nobody):
    options = ("--by", by) if by else ("--measure-report",)
    aggregate = drawn(tmp_path, seed, size, kinds, *options)
    assert aggregate.ran.code == 0, aggregate.ran.err
    read = told(aggregate, nobody)
    assert len(read.numbers) > 30
    assert given_away(aggregate, read, by or "age_years") == []
    assert told_by_messages(aggregate.ran, read) == []


def test_a_number_that_nobody_has_looked_at_is_found(tmp_path, nobody):
    """In whatever file it stands."""
    aggregate = drawn(tmp_path, 2, 24, 3)
    assert told(aggregate, nobody).rest == []
    page, flow = aggregate.folder / "report.html", aggregate.folder / "flow.json"
    page.write_text(page.read_text().replace("<h2 id=", "<p>3 of them died.</p><h2 id=", 1))
    flow.write_text(flow.read_text().replace("{", '{"died": 2,', 1))
    assert [one.text for one in told(aggregate, nobody).rest] == ["3 of them died.", "2"]


def test_a_number_that_is_not_hidden_is_found(tmp_path, nobody, monkeypatch):
    monkeypatch.setattr(Ledger, "admit", lambda *_: True)
    monkeypatch.setattr(Ledger, "admit_shared", lambda *_: True)
    aggregate = drawn(tmp_path, 2, 12, 3)
    assert given_away(aggregate, told(aggregate, nobody))


def test_a_source_of_few_patients_tells_nothing_that_it_lacks(tmp_path):
    """That none of three patients has a medication is a statement about three patients."""
    chosen = sorted(one for one in by_patient() if one)[:3]
    source, target = write_clones(tmp_path / "in", chosen), tmp_path / "out"
    ran = cli("cohort", source, target, "--as-of", AS_OF, "--aggregate-only")
    assert ran.code == 0
    assert "LACKING" not in ran.err
    assert json.loads((target / "flow.json").read_text())["source_lacks"] == []
    assert json.loads((target / "manifest.json").read_text())["lacking"] == []
    assert b"MedicationRequest" not in (target / "methods.md").read_bytes()


def test_resources_are_rounded_to_no_less_than_a_small_group():
    assert [rounded(count, 5) for count in (0, 99, 100, 149, 151)] == [0, None, 100, 100, 200]
    assert [rounded(count, 150) for count in (0, 149, 199, 200, 299, 301)] == [
        0,
        None,
        None,
        200,
        200,
        400,
    ]
