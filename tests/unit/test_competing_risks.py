"""Follow-up, deaths that end a time, and who is left out of a curve."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fhircryo
from fhircryo.endpoints.catalogue import DISEASE_FREE_SURVIVAL, TIME_TO_FAILURE
from fhircryo.errors import UsageError
from fhircryo.research.statistics.competing import Ending, aalen_johansen
from tests.unit.inputs import COHORT, condition, folder, patient, procedure, psa
from tests.unit.test_cohort_numbers import aggregate_of, analysed, report_of
from tests.unit.test_salvage import drug, referring

# ---------------------------------------------------------------- the estimator


def exact(days: Sequence[int], endings: Sequence[Ending], day: int) -> Fraction:
    """The definition: the sum of S(t-) d / n over the days of events (Kalbfleisch and Prentice)."""
    free, found = Fraction(1), Fraction(0)
    for time in sorted({one for one in days if one <= day}):
        at_risk = sum(one >= time for one in days)
        ending = [end for one, end in zip(days, endings, strict=True) if one == time]
        found += free * Fraction(ending.count(Ending.EVENT), at_risk)
        free *= 1 - Fraction(len(ending) - ending.count(Ending.CENSORED), at_risk)
    return found


times = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(list(Ending))), min_size=1, max_size=25
)


@pytest.mark.slow
@settings(deadline=None)
@given(times)
def test_the_estimate_is_the_exact_one_also_with_ties(drawn):
    days, endings = zip(*drawn, strict=True)
    curve = aalen_johansen(days, endings)
    other = {Ending.EVENT: Ending.COMPETING, Ending.COMPETING: Ending.EVENT}
    competing = aalen_johansen(days, [other.get(one, one) for one in endings])
    for step, day in enumerate(curve.days):
        assert curve.share[step] == pytest.approx(float(exact(days, endings, day)), abs=1e-9)
        assert curve.share[step] + competing.share[step] <= 1 + 1e-9
        assert curve.at_risk[step] == sum(one >= day for one in days)
        low, high = curve.lower[step], curve.upper[step]
        assert low is None or low <= curve.share[step] <= high


def test_the_order_of_patients_changes_nothing():
    drawn = [(5, Ending.EVENT), (5, Ending.COMPETING), (5, Ending.CENSORED), (9, Ending.EVENT)]
    curves = {
        aalen_johansen(*zip(*order, strict=True)) for order in (drawn, drawn[::-1], sorted(drawn))
    }
    assert len(curves) == 1


def test_beyond_the_last_day_nothing_is_known():
    curve = aalen_johansen([5, 9], [Ending.EVENT, Ending.CENSORED])
    assert (curve.at(9).share, curve.at(9).at_risk) == (0.5, 1)
    assert (curve.at(10).share, curve.at(10).at_risk, curve.at(10).events) == (None, 0, 1)
    assert aalen_johansen([], []).at(3).share is None


# ---------------------------------------------------------------- who died before the event


def patients_of(place: Path, resources: dict[str, list]) -> dict[str, dict[str, Any]]:
    """The rows of the table of patients of these patients, each with a PSA at 2 and at 4 months."""
    content: list[dict] = []
    for name, own in resources.items():
        content += [procedure(f"x-{name}", of=name), *own]
        content += [psa(f"{name}-{month}", f"2016-0{month}-10", 0.4, name) for month in (3, 5)]
    # Without any medication, a source may have lost the therapies of all patients.
    content += [
        condition("of-another", "2016-09-01", "nobody"),
        drug("d"),
        referring("t", "Medication/d", of="nobody"),
    ]
    source = folder(place, {"all.ndjson": content})
    table = fhircryo.cohort(source, as_of="2019-12-31", identified=True)["patients"]
    return {row["patient"]: row for row in table.to_dict("records")}


DIED = {"deceasedDateTime": "2017-02-01"}
ENDED = {
    "soon": ([patient("soon", **DIED)], (True, True, True, True)),
    "late": ([patient("late", deceasedDateTime="2018-09-01")], (False, False, False, True)),
    "alive": ([patient("alive")], (False, False, False, False)),
    "failed": (
        [patient("failed", **DIED), psa("f", "2016-11-10", 3.0, "failed")],
        (False, False, True, True),
    ),
    "metastatic": (
        [patient("metastatic", **DIED), condition("m", "2016-08-01", "metastatic")],
        (True, False, False, True),
    ),
}


def test_a_death_ends_a_time_where_nothing_else_did(tmp_path):
    """To failure, disease-free and metastasis-free survival, to salvage therapy, in this order."""
    rows = patients_of(tmp_path / "in", {name: own for name, (own, _) in ENDED.items()})
    names = (
        "time_to_biochemical_failure",
        "disease_free_survival",
        "metastasis_free_survival",
        "time_to_salvage_therapy",
    )
    for patient_name, (_, expected) in ENDED.items():
        found = tuple(rows[patient_name][f"{name}_death"] for name in names)
        assert found == expected, patient_name
    assert rows["soon"]["last_contact_days"] == 121


def test_a_time_that_is_not_known_is_not_ended(tmp_path):
    rows = patients_of(tmp_path / "in", {"p": [patient("p"), condition("m", "2015-01-01", "p")]})
    assert rows["p"]["metastasis_free_survival_reason"] == "metastatic-at-baseline"
    assert rows["p"]["metastasis_free_survival_death"] is not False


def time(name: str, days: int, *, event: bool = False, death: bool = False) -> dict[str, Any]:
    return {name: days, f"{name}_event": event, f"{name}_death": death}


def test_the_dead_are_no_longer_at_risk():
    """Four patients: a failure on day 100, a death on 200 (last PSA on 150), two censored."""
    name = "time_to_biochemical_failure"
    rows = [
        time(name, 100, event=True),
        time(name, 150, death=True) | {"overall_survival": 200, "overall_survival_event": True},
        time(name, 400),
        time(name, 400),
    ]
    found = analysed(rows)
    risk = next(one for one in found.competing if one.endpoint is TIME_TO_FAILURE)
    assert (risk.patients, risk.events, risk.deaths) == (4, 1, 1)
    assert risk.curve.days == (0, 100, 200, 400)
    assert risk.curve.share == pytest.approx((0, 0.25, 0.25, 0.25))
    assert risk.competing.share == pytest.approx((0, 0, 0.25, 0.25))


@pytest.mark.slow
def test_one_less_kaplan_meier_is_never_lower_in_the_example_cohort():
    found = fhircryo.cohort(COHORT, as_of="2017-12-31").analysis
    readings = [reading for risk in found.competing for reading in risk.readings]
    assert len(found.competing) == 4
    assert readings
    for one in readings:
        assert 1 - one.kaplan_meier.survival >= one.incidence.share - 1e-9


# ---------------------------------------------------------------- follow-up


def test_the_follow_up_is_that_of_the_reverse_kaplan_meier_method():
    """Alive on days 100, 300 and 400; died on 200: S is 3/4 after 100, then 3/8 after 300."""
    name = "overall_survival"
    rows = [
        {name: day, f"{name}_event": died}
        for day, died in ((100, False), (200, True), (300, False), (400, False))
    ]
    found = analysed(rows).follow_up
    assert (found.median, found.shortest, found.longest) == (300, 100, 400)
    assert (found.patients, found.deaths, found.without_contact) == (4, 1, 0)


def test_who_was_never_seen_again_was_followed_for_no_day():
    found = analysed([{}, {"overall_survival": 50, "overall_survival_event": False}]).follow_up
    assert (found.median, found.shortest, found.without_contact) == (0, 0, 1)


def test_an_empty_cohort_has_no_follow_up():
    assert analysed([]).follow_up is None
    assert analysed([]).competing[0].readings == ()


def test_the_years_of_the_index_procedures_are_told():
    flow = fhircryo.cohort(COHORT, as_of="2017-12-31").flow
    assert flow.index_years == (2011, 2017)


# ---------------------------------------------------------------- curves


def survival_of(found: Any, endpoint: Any) -> Any:
    return next(one for one in found.survival if one.endpoint is endpoint)


@pytest.mark.slow
def test_a_curve_ends_where_fewer_are_at_risk_than_the_setting_says():
    name = "disease_free_survival"
    rows = [{name: 100 * n, f"{name}_event": n == 15} for n in range(1, 16)]
    found = analysed(rows)
    curve = survival_of(found, DISEASE_FREE_SURVIVAL)
    # On day 600 ten are at risk, after it nine. The last of all has an event: the curve is 0 there.
    assert curve.shown_to == 600
    assert curve.curve.survival[-1] == 0
    assert "The curve ends at 19.7 months: after that fewer than 10 patients" in report_of(found)


@pytest.mark.slow
def test_without_enough_patients_no_curve_is_drawn():
    name = "disease_free_survival"
    found = analysed([{name: 300, f"{name}_event": False}] * 9)
    assert survival_of(found, DISEASE_FREE_SURVIVAL).shown_to is None
    assert "no curve is drawn" in report_of(found)


@pytest.mark.slow
def test_the_report_says_who_is_left_out():
    """In the example, disease-free survival of five is not known; one of them had an event."""
    found = fhircryo.cohort(COHORT, as_of="2017-12-31").analysis
    curve = survival_of(found, DISEASE_FREE_SURVIVAL)
    assert (curve.patients, curve.left_out, curve.left_out_events) == (57, 5, 1)
    assert not curve.only_events_left_out
    assert "5 patients are left out because the time is not known; 1 of them" in report_of(found)


def test_leaving_out_only_patients_with_an_event_is_flagged(tmp_path):
    """Two died of an unknown cause: their cancer-specific survival is not known."""
    content = [procedure(f"x-{name}", of=name) for name in ("a", "b", "c")]
    content += [psa(f"p-{name}", "2016-05-10", 0.4, name) for name in ("a", "b", "c")]
    content += [patient("a", **DIED), patient("b", **DIED), patient("c")]
    source = folder(tmp_path / "in", {"all.ndjson": content})
    found = fhircryo.cohort(source, as_of="2019-12-31").analysis
    curve = found.survival[-1]
    assert (curve.patients, curve.left_out, curve.left_out_events) == (1, 2, 2)
    assert curve.only_events_left_out
    assert "Only patients with an event are left out" in report_of(found)


# ---------------------------------------------------------------- aggregates


@pytest.mark.slow
def test_an_aggregate_shows_none_of_it():
    name = "overall_survival"
    rows = [{name: 100 + n, f"{name}_event": n < 9} for n in range(30)]
    found = aggregate_of(rows)
    assert (found.follow_up, found.competing, found.flow.index_years) == (None, (), None)
    assert all(one.left_out is None and one.shown_to is None for one in found.survival)
    text = report_of(found, "aggregate-only")
    assert "Competing risks" not in text
    assert "left out because" not in text


# ---------------------------------------------------------------- dates as text


def test_a_date_may_be_a_text():
    first, second = (
        fhircryo.cohort(COHORT, as_of=one, index_to=one, identified=True)
        for one in ("2015-12-31", date(2015, 12, 31))
    )
    assert first["patients"].equals(second["patients"])
    assert len(first["patients"]) == first.flow.cohort > 0


@pytest.mark.parametrize("text", ["31.12.2015", "2015-13-01", "20151231", ""])
def test_a_text_that_is_no_date_is_refused(text):
    with pytest.raises(UsageError, match=r"as_of: .* is not a date; write it as 2017-12-31"):
        fhircryo.cohort(COHORT, as_of=text)


def test_a_cohort_shows_itself_in_short():
    found = fhircryo.cohort(COHORT, as_of="2017-12-31")
    assert repr(found).startswith("Cohort(62 patients, bomers-2020 2.0, as of 2017-12-31; tables:")
    shown = found._repr_html_()
    assert "<p>62 patients, " in shown
    assert shown.count("<tr>") == 8
