"""The numbers of a report from hand-made tables: what is shown, and what an aggregate hides."""

from datetime import date
from typing import Any

import pandas as pd
import pytest

from fhircryo.endpoints.catalogue import DISEASE_FREE_SURVIVAL
from fhircryo.endpoints.result import Result
from fhircryo.research.aggregate import aggregated
from fhircryo.research.analysis import Analysis, analyse
from fhircryo.research.arrow import to_arrow, to_frame
from fhircryo.research.baseline_columns import without_free_text
from fhircryo.research.columns import tables
from fhircryo.research.flow import Flow
from fhircryo.research.intervals import midpoint, without_calendar
from fhircryo.research.methods import methods
from fhircryo.research.report.page import figures_of, page
from fhircryo.research.table_options import ALL_DATES
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from tests.unit.inputs import AS_OF

CONFIG = RunConfig.of(Settings(), AS_OF)
Rows = list[dict[str, Any]]


def frames(patients: Rows, adverse_events: Rows | None = None) -> dict[str, pd.DataFrame]:
    """The tables of these rows; what a row does not say is what nobody reported."""
    schemas = tables(CONFIG.mappings, CONFIG.protocol)
    rows = {"patients": patients, "adverse_events": adverse_events or []}
    for number, row in enumerate(patients):
        row.setdefault("patient", f"p{number}")
        row.setdefault("salvage_therapy", False)
        for name in schemas["patients"].names():
            if name.startswith("expected_"):
                row.setdefault(name, False)
    for row in adverse_events or []:
        row.setdefault("attribution", "attributed")
        row.setdefault("kinds", "other")
    return {name: to_frame(to_arrow(table, rows.get(name, []))) for name, table in schemas.items()}


def analysed(patients: Rows, adverse_events: Rows | None = None) -> Analysis:
    return analysed_tables(frames(patients, adverse_events))


def aggregate_of(patients: Rows, adverse_events: Rows | None = None) -> Analysis:
    """The numbers without groups of fewer than 5."""
    found = frames(patients, adverse_events)
    return aggregated(analysed_tables(found), found, CONFIG, 5)


def analysed_tables(found: dict[str, pd.DataFrame]) -> Analysis:
    patients = found["patients"]
    flow = Flow(
        resources_read=0,
        patients_read=len(patients),
        candidates=len(patients),
        lost=[],
        cohort=len(patients),
        procedures={},
        lacking=[],
        never_stated=["local-recurrence"],
        unreadable=0,
    )
    return analyse(found, CONFIG, flow)


def report_of(found: Analysis, kind: str = "pseudonymised") -> str:
    text = methods(CONFIG, found.flow, ALL_DATES, kind)
    return page(found, figures_of(found, None, CONFIG), CONFIG, text, kind)


# --------------------------------------------------------------------------- times


def survival_of(rows: list[tuple[int, int | None, bool]]) -> Any:
    name = "disease_free_survival"
    patients = [
        {name: low, f"{name}_high": high, f"{name}_event": event} for low, high, event in rows
    ]
    found = analysed(patients)
    return next(one for one in found.survival if one.endpoint is DISEASE_FREE_SURVIVAL)


def test_an_interval_counts_on_its_middle_day_and_is_told():
    """Four patients; the event of one lies between day 100 and day 301: 200, rounded down."""
    found = survival_of(
        [(100, 301, True), (250, None, True), (400, None, False), (400, None, False)]
    )
    assert found.intervals == 1
    assert found.curve.days == (0, 200, 250, 400)
    # Month 6 is day 183: the event is before it on its first day, and not before it otherwise.
    curves = (found.landmarks, found.bounds.first, found.bounds.last)
    shares = [[at.survival for at in readings] for readings in curves]
    assert shares == [
        pytest.approx([1.0, 0.5]),
        pytest.approx([0.75, 0.5]),
        pytest.approx([1.0, 0.5]),
    ]
    assert (found.bounds.median_first, found.median, found.bounds.median_last) == (250, 250, 301)


def test_without_an_interval_there_are_no_bounds():
    found = survival_of([(250, None, True), (400, None, False)])
    assert (found.intervals, found.bounds) == (0, None)


def test_the_middle_is_rounded_down():
    assert [midpoint(10, 13), midpoint(10, 12), midpoint(-3, 0)] == [11, 11, -2]


D0 = date(2016, 1, 10)


def interval(low: int, high: int) -> Result:
    return Result(DISEASE_FREE_SURVIVAL, D0, D0, final=False, value=low, high=high)


def test_bounds_that_would_disclose_day_0_are_widened():
    """2017 is day 357 to day 721 from 2016-01-10."""
    shown = without_calendar(interval(357, 721), D0, set())
    assert (shown.value, shown.high) == (330, 750)
    # Day 143 and day 235 are 2016-06-01 and 2016-09-01, on which PSA was measured.
    visits = {date(2016, 6, 1), date(2016, 9, 1)}
    shown = without_calendar(interval(143, 235), D0, visits)
    assert (shown.value, shown.high) == (143, 235)


# --------------------------------------------------------------------------- disease-free


def rule_cells(**values: Any) -> dict[str, Any]:
    """The cells of disease-free under each rule: a bool, or the reason why there is no value."""
    row: dict[str, Any] = {}
    for rule, value in values.items():
        name = f"disease_free_12_months_salvage_{rule}"
        known = isinstance(value, bool)
        row[name] = value if known else None
        row[f"{name}_reason"] = None if known else value
    return row


def test_the_rate_under_each_rule_side_by_side():
    everywhere = ("event", "censor", "report")
    free = [rule_cells(**dict.fromkeys(everywhere, True)) for _ in range(6)]
    failed = [rule_cells(**dict.fromkeys(everywhere, False)) for _ in range(2)]
    salvaged = [rule_cells(event=False, censor="insufficient-psa", report=True)]
    never_fell = [rule_cells(**dict.fromkeys(everywhere, "no-psa-response"))]
    rates = analysed([*free, *failed, *salvaged, *never_fell]).disease_free
    assert [(one.rule, one.in_protocol) for one in rates] == [
        ("event", True),
        ("censor", False),
        ("report", False),
    ]
    assert [(one.rate.successes, one.rate.n) for one in rates] == [(6, 9), (6, 8), (7, 9)]
    both = [(one.with_no_response.successes, one.with_no_response.n) for one in rates]
    assert both == [(6, 10), (6, 9), (7, 10)]
    reasons = [[(one.reason, one.patients) for one in rate.absent] for rate in rates]
    assert reasons[0] == [("no-psa-response", 1)]
    assert reasons[1] == [("insufficient-psa", 1), ("no-psa-response", 1)]


def test_an_aggregate_hides_a_rate_that_differs_by_few_patients():
    everywhere = ("event", "censor", "report")
    free = [rule_cells(**dict.fromkeys(everywhere, True)) for _ in range(20)]
    failed = [rule_cells(**dict.fromkeys(everywhere, False)) for _ in range(10)]
    salvaged = [rule_cells(event=False, censor="insufficient-psa", report=True)]
    found = aggregate_of([*free, *failed, *salvaged])
    assert [one.rate is None for one in found.disease_free] == [False, True, True]


def test_where_a_type_is_lacking_only_failures_are_known_and_nothing_is_estimated():
    lacks = "source-lacks-type"
    failed = {
        **rule_cells(event=False, censor=False, report=False),
        "disease_free_12_months": False,
        "disease_free_survival": 100,
        "disease_free_survival_event": True,
    }
    others = {
        **rule_cells(event=lacks, censor=lacks, report=True),
        "disease_free_12_months_reason": lacks,
        "disease_free_survival_reason": lacks,
    }
    found = analysed([failed, dict(others), dict(others)])
    assert [(one.estimable, one.rate is None) for one in found.disease_free] == [
        (False, True),
        (False, True),
        (True, False),
    ]
    survival = next(one for one in found.survival if one.endpoint is DISEASE_FREE_SURVIVAL)
    assert (survival.estimable, survival.events, survival.curve) == (False, 1, None)
    table = {row.words: row.ours for row in found.table}
    assert table["Disease-free at 12 months"] == "not estimable"
    assert "Not estimable: the source lacks" in report_of(found)


# --------------------------------------------------------------------------- complications


def graded(patient: str, **cells: Any) -> dict[str, Any]:
    return {"patient": patient, "number": 1, **cells}


def test_a_scale_that_no_event_carries_is_not_recorded():
    """One of three patients has an event, and it has a Clavien-Dindo grade only."""
    patients = [
        {"major_complication_clavien": True, "major_complication_sir_reason": "ungraded"},
        {"major_complication_clavien": False, "major_complication_sir": False},
        {"major_complication_clavien": False, "major_complication_sir": False},
    ]
    found = analysed(patients, [graded("p0", clavien_dindo="IIIb", kinds="fistula")])
    clavien, sir = found.complications.shares
    assert (clavien.words, clavien.recorded) == (
        "Complication of Clavien-Dindo IIIb or worse",
        True,
    )
    assert (clavien.counted.successes, clavien.counted.n) == (1, 3)
    assert (sir.words, sir.recorded, sir.counted) == ("Complication of SIR D or worse", False, None)
    assert found.complications.not_recorded == ("ctcae-grade", "sir-2003")
    table = {row.words: row.ours for row in found.table}
    assert table["Complication of SIR D or worse"] == "not recorded"
    assert table["Complication of Clavien-Dindo IIIb or worse"] == "1/3 (33.3 %)"
    shown = report_of(found)
    assert "<td>not recorded</td>" in shown
    assert "Fistula" in shown


def test_patients_with_events_who_are_left_out_are_told():
    patients = [
        {"major_complication_clavien_reason": "ungraded"},
        {"major_complication_clavien_reason": "partly-graded"},
        {"major_complication_clavien": False},
        {"major_complication_clavien": True},
    ]
    events = [
        graded("p0"),
        graded("p1", clavien_dindo="I"),
        graded("p3", clavien_dindo="IIIb"),
    ]
    found = analysed(patients, events)
    clavien = found.complications.shares[0]
    assert (clavien.left_out, clavien.all_with_events) == (2, True)
    assert "2 patients with complications are not in the denominator" in report_of(found)


def test_events_that_are_not_attributed_say_nothing_of_a_scale():
    events = [graded("p0", clavien_dindo="IIIb", attribution="not-attributed")]
    found = analysed([{"major_complication_clavien": False}], events)
    assert "clavien-dindo" in found.complications.not_recorded
    assert found.complications.kinds == ()


def test_kinds_are_counted_by_event_and_by_patient():
    events = [
        graded("p0", kinds="fistula"),
        {**graded("p0", kinds="fistula, stricture"), "number": 2},
        graded("p1"),
    ]
    found = analysed([{}, {}], events).complications
    kinds = {one.words: (one.events, one.patients) for one in found.kinds}
    assert kinds == {
        "Fistula": (2, 1),
        "Urethral stricture or bladder neck contracture": (1, 1),
        "Other": (1, 1),
    }
    assert [one.kind for one in found.kinds][-1] == "other"


# --------------------------------------------------------------------------- baseline


def test_the_first_table_of_a_paper():
    patients = [
        {"age_years": 70, "isup_grade_group": "3", "hormone_therapy_at_index": True},
        {"age_years": 72, "isup_grade_group": "2", "hormone_therapy_at_index": False},
        {"age_years": 74, "psa_doubling_time_missing": "not-rising"},
        {"psa_doubling_time": 8.5, "prior_radiotherapy": "brachytherapy"},
    ]
    for row in patients:
        row.setdefault(
            "psa_doubling_time_missing", None if "psa_doubling_time" in row else "not-recorded"
        )
    rows = {row.words: row for row in analysed(patients).baseline}
    age = rows["Age, years"]
    assert (age.known, age.missing, age.values.median) == (3, 1, 72)
    isup = rows["ISUP grade group"]
    assert [(one.words, one.counted.successes, one.counted.n) for one in isup.levels] == [
        ("2", 1, 2),
        ("3", 1, 2),
    ]
    rising = rows["PSA not rising"]
    assert (rising.known, rising.missing, rising.levels[0].counted.successes) == (2, 2, 1)
    hormone = rows["Hormone therapy at index"]
    assert (hormone.known, hormone.missing, hormone.levels[0].counted.successes) == (2, 2, 1)
    assert rows["Clinical T category"].known == 0


@pytest.mark.parametrize(
    "value",
    ["3", "Gleason 3+4=7", "Gleason grade group 2", "cT2a", "T3", "ISUP 10"],
)
def test_grades_and_categories_are_shown_as_coded(value):
    assert without_free_text(value) == value


@pytest.mark.parametrize(
    "value", ["Zwartendijk", "grade 3, see J. Smith", "1950-04-23", "123456782", "04-23", "+"]
)
def test_what_may_be_free_text_is_not_in_pseudonymised_tables(value):
    assert without_free_text(value) == "other"


def test_an_aggregate_hides_small_groups_of_the_baseline():
    patients: Rows = [{"age_years": 60 + number} for number in range(20)]
    patients[0]["isup_grade_group"] = "5"
    for row in patients:
        row["gleason_score"] = "7"
    patients[1]["gleason_score"] = "9"
    found = {row.words: row for row in aggregate_of(patients).baseline}
    assert found["Age, years"].values is not None
    assert found["Age, years"].values.minimum is None
    assert (found["ISUP grade group"].known, found["ISUP grade group"].levels) == (None, ())
    assert (found["Gleason score"].known, found["Gleason score"].levels) == (20, ())


# --------------------------------------------------------------------------- questionnaires


def iief(change: int, *, marked: bool = False) -> dict[str, Any]:
    return {
        "iief_5_baseline": 20,
        "iief_5_12_months": 20 + change,
        "iief_5_change_12_months": change,
        "iief_5_change_12_months_no_intercourse": True if marked else None,
    }


def change_of(found: Analysis) -> Any:
    prom = next(prom for prom in found.proms if prom.instrument == "iief-5")
    return next(one for one in prom.changes if one.time_point == "12-months")


@pytest.mark.slow
def test_a_change_is_shown_with_and_without_marked_scores():
    found = analysed([iief(-2), iief(-4), iief(-6), iief(-15, marked=True)])
    change = change_of(found)
    assert (change.paired.n, change.paired.change.median) == (4, -5)
    (unmarked,) = change.unmarked
    assert (unmarked.marked, unmarked.paired.n) == (1, 3)
    assert unmarked.paired.change.median == -4
    assert "the change with and without marked scores" in report_of(found)
    changes = [iief(-2 - number % 3) for number in range(30)] + [iief(-15, marked=True)]
    assert change_of(analysed(changes)).unmarked[0].marked == 1
    hidden = change_of(aggregate_of(changes))
    assert (hidden.paired.n, hidden.unmarked) == (31, ())


def test_without_a_marked_score_nothing_is_added():
    assert change_of(analysed([iief(-2), iief(-4)])).unmarked == ()


# --------------------------------------------------------------------------- the report


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pseudonymised", "aggregate-only"])
def test_the_report_of_hardly_anything_is_whole(kind):
    for patients in ([], [{}]):
        found = aggregate_of(patients) if kind == "aggregate-only" else analysed(patients)
        shown = report_of(found, kind)
        # Of one patient an aggregate does not say either that nobody has it.
        hidden = kind == "aggregate-only" and bool(patients)
        assert ("mapped to local-recurrence" in shown) != hidden
        assert "Baseline characteristics" in shown


# --------------------------------------------------------------------------- sensitivity


def test_the_worst_and_the_best_case_of_who_is_not_evaluable():
    """Three yes, two no, two of whom it is not known; one metastatic and one too recent."""
    reasons = ["insufficient-psa", "no-psa-response", "metastatic-at-baseline"]
    reasons.append("landmark-not-reached")
    name = "disease_free_12_months_salvage_event"
    rows: Rows = [{name: value} for value in (True, True, True, False, False)]
    rows += [{f"{name}_reason": reason} for reason in reasons]
    found = next(one for one in analysed(rows).disease_free if one.rule == "event")
    shares = [
        (one.successes, one.n)
        for one in (found.rate, found.with_no_response, found.worst, found.best)
        if one is not None
    ]
    assert shares == [(3, 5), (3, 6), (3, 7), (5, 7)]
    assert "<td>3 (43 %) to 5 (71 %)</td>" in report_of(analysed(rows))


@pytest.mark.slow
def test_an_aggregate_does_not_tell_the_worst_case():
    name = "disease_free_12_months_salvage_event"
    rows: Rows = [{name: number % 2 == 0} for number in range(40)]
    rows += [{f"{name}_reason": "insufficient-psa"} for _ in range(10)]
    found = next(one for one in aggregate_of(rows).disease_free if one.rule == "event")
    assert (found.worst, found.best) == (None, None)
