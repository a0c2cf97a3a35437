"""No aggregate gives a small group away, whatever is computed from all of its numbers."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import example as also
from hypothesis import strategies as st

import fhircryo
from fhircryo.errors import UsageError
from fhircryo.research.aggregate import aggregated
from fhircryo.research.aggregate_flow import shown_flow
from fhircryo.research.analysis import Analysis, analyse
from fhircryo.research.cohort_tables import Cohort
from fhircryo.research.comparison import Comparison, compare
from fhircryo.research.flow import Exclusion, Flow
from fhircryo.research.grouping import By, group_patients
from fhircryo.research.shown_comparison import shown_comparison, shown_grouping
from fhircryo.research.shown_groups import ShownGroups
from fhircryo.research.statistics.disclosure import Ledger, SecretLedger
from fhircryo.settings import Settings
from tests.property.attacker import attack, attack_groups

#: The exact test of up to 13 pairs with ties tries all of their 8192 signs, many times slower than
#: everything else here; whether a p value is shown does not depend on how it is computed.
QUICK_TEST = partial(scipy.stats.wilcoxon, method="asymptotic")

EXAMPLE = Path(__file__).parents[2] / "examples" / "bomers-2020"
THRESHOLD = 5
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module", autouse=True)
def quick_p_values() -> Iterator[None]:
    with mock.patch.object(scipy.stats, "wilcoxon", QUICK_TEST):
        yield


@cache
def example() -> Cohort:
    # With ids, because the order of pseudonyms differs from run to run.
    return fhircryo.cohort(EXAMPLE, as_of=date(2017, 12, 31), settings=Settings(), identified=True)


@dataclass
class Drawn:
    """A cohort of patients who were drawn from another, with its numbers."""

    tables: Tables
    analysis: Analysis


def drawn(chosen: list[int]) -> Drawn:
    """The cohort of these patients of the example, by number; each may be there several times."""
    patients = example()["patients"].iloc[chosen].reset_index(drop=True)
    names = [f"p{number}" for number in range(len(chosen))]
    events = example()["adverse_events"]
    copies = [
        events[events["patient"] == former].assign(patient=name)
        for former, name in zip(patients["patient"], names, strict=True)
    ]
    tables = dict(example().tables) | {
        "patients": patients.assign(patient=pd.array(names, dtype="string")),
        "adverse_events": pd.concat(copies) if copies else events.iloc[:0],
    }
    flow = flow_of_sizes(len(chosen), [7, 2], [3], 30)
    return Drawn(tables, analyse(tables, example().config, flow))


def flow_of_sizes(cohort: int, lost: list[int], not_index: list[int], others: int) -> Flow:
    """A flow; ``lost``, ``not_index``: by reason, no patient for two."""
    candidates = cohort + sum(lost)
    return Flow(
        resources_read=1000,
        patients_read=candidates + sum(not_index) + others,
        candidates=candidates,
        lost=[Exclusion(f"reason {number}", count) for number, count in enumerate(lost)],
        cohort=cohort,
        procedures={f"reason {number}": count for number, count in enumerate(not_index)},
        lacking=[],
        never_stated=[],
        unreadable=3,
        not_index=sum(not_index),
    )


def given_away(cohort: Drawn) -> list[str]:
    shown = aggregated(cohort.analysis, cohort.tables, example().config, THRESHOLD)
    return attack(shown, cohort.tables, example().config, THRESHOLD)


@settings(
    max_examples=20,
    deadline=None,
    # A cohort that is found is small enough; to make it smaller takes minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@also(size=82, kinds=8, seed=0)
@given(
    size=st.one_of(st.integers(0, 12), st.integers(13, 250)),
    kinds=st.sampled_from([1, 2, 8, 62]),
    seed=st.integers(0, 2**32 - 1),
)
def test_nothing_can_be_computed_of_a_random_cohort(size: int, kinds: int, seed: int) -> None:
    """Patients of the example drawn again and again; ``kinds``: how many different ones."""
    order = random.Random(seed)
    pool = order.sample(range(len(example()["patients"])), kinds)
    assert given_away(drawn(order.choices(pool, k=size))) == []


@pytest.mark.parametrize("odd", range(0, 62, 12))
@pytest.mark.parametrize("others", [4, 40])
def test_nothing_can_be_computed_of_an_odd_one_out(odd: int, others: int) -> None:
    """One patient among many who are alike."""
    alike = 1 if odd != 1 else 2
    assert given_away(drawn([odd, *[alike] * others])) == []


def test_nothing_can_be_computed_of_the_example():
    assert given_away(Drawn(example().tables, example().analysis)) == []


def with_facts(facts: list[tuple[int, dict[str, object]]]) -> Drawn:
    """Patients who are alike but for some facts: how many of them, and their columns."""
    alike = "2015001"
    number = list(example()["patients"]["patient"]).index(alike)
    made = drawn([number] * sum(size for size, _ in facts))
    patients, first = made.tables["patients"].copy(), 0
    for size, columns in facts:
        for column, value in columns.items():
            patients.loc[first : first + size - 1, column] = value
        first += size
    tables = made.tables | {"patients": patients}
    return Drawn(tables, analyse(tables, example().config, made.analysis.flow))


RULES = "disease_free_12_months_salvage"


def test_what_the_rules_for_salvage_tell_is_not_subtracted_from_failures():
    """Under which rules a patient is disease-free tells that there was a salvage therapy."""
    free = {f"{RULES}_{rule}": True for rule in ("event", "censor", "report")}
    base = free | {"disease_free_12_months": True, "technical_success": True}
    times = ("failure_free_survival", "disease_free_survival", "metastasis_free_survival")
    times += ("time_to_salvage_therapy", "time_to_biochemical_failure")
    base |= {f"{time}_event": False for time in times} | {"salvage_therapy": False}
    no = {"disease_free_12_months": False, f"{RULES}_event": False, f"{RULES}_censor": False}
    salvaged = no | {"salvage_therapy": True, "failure_free_survival_event": True}
    salvaged |= {"time_to_salvage_therapy_event": True, "disease_free_survival_event": True}
    failed = no | {f"{RULES}_report": False, "time_to_biochemical_failure_event": True}
    failed |= {"disease_free_survival_event": True}
    late = {"failure_free_survival_event": True, "metastasis_free_survival_event": True}
    late |= {"disease_free_survival_event": True}
    not_successful = {"technical_success": False}
    cohort = with_facts(
        [
            (6, base | salvaged | not_successful),
            (2, base | not_successful),
            # At no reading is the number of those who failed before one that may be shown.
            *(
                (2, base | failed | {"time_to_biochemical_failure": day})
                for day in (9, 300, 600, 5000)
            ),
            (3, base | late),
            (41, base),
        ]
    )
    shown = aggregated(cohort.analysis, cohort.tables, example().config, THRESHOLD)
    assert shown.disease_free[0].rate is not None
    assert given_away(cohort) == []


# --------------------------------------------------------------------------- groups


def grouped_numbers(cohort: Drawn, by: str) -> tuple[Analysis, Comparison] | None:
    """What an aggregate with groups shows; None if they are refused."""
    patients, config = cohort.tables["patients"], example().config
    columns = example().columns["patients"]
    shown = ShownGroups(patients, THRESHOLD)
    try:
        grouping = shown_grouping(group_patients(patients, columns, By.of(by), 20), shown)
    except UsageError:
        return None
    analysis = aggregated(cohort.analysis, cohort.tables, config, THRESHOLD, shown)
    return analysis, shown_comparison(compare(patients, grouping, columns, config), shown)


def given_away_by_groups(cohort: Drawn, by: str) -> list[str]:
    found = grouped_numbers(cohort, by)
    if found is None:
        return []
    return attack_groups(*found, cohort.tables, example().config, THRESHOLD)


@pytest.mark.parametrize(
    ("by", "size", "kinds"),
    [("age_years", 62, 62), ("index_year", 160, 8), ("prior_radiotherapy", 160, 8)],
)
def test_nothing_can_be_computed_of_groups(by: str, size: int, kinds: int) -> None:
    order = random.Random(size)
    pool = order.sample(range(62), kinds)
    assert given_away_by_groups(drawn(order.choices(pool, k=size)), by) == []


def test_groups_of_many_patients_are_shown():
    """The test above would also pass if nothing were ever shown."""
    found = grouped_numbers(drawn(random.Random(1).choices(range(62), k=600)), "prior_radiotherapy")
    assert found is not None
    rates = found[1].rates
    assert sum(None not in rate.counted for rate in rates) >= len(rates) // 2
    assert [rate for rate in rates if rate.p is not None]


def test_the_attacker_finds_groups_that_are_not_hidden(monkeypatch):
    monkeypatch.setattr(Ledger, "admit", lambda *_: True)
    monkeypatch.setattr(Ledger, "admit_shared", lambda *_: True)
    found = given_away_by_groups(drawn([*range(6)] * 4), "prior_radiotherapy")
    assert [line for line in found if line.startswith(("brachytherapy: ", "external-beam: "))]


@given(
    cells=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2)), max_size=80),
    threshold=st.integers(1, 6),
)
def test_a_secret_group_is_that_of_nobody_in_particular(cells, threshold):
    """Beside everything that is published, each patient may be of another group as well."""
    ledger = SecretLedger(len(cells), threshold)
    one, other, secret = (
        (np.array(column) for column in zip(*cells, strict=True))
        if cells
        else (np.array([], dtype=bool),) * 3
    )
    sizes = [ledger.admit_shared("groups", secret == group) for group in range(3)]
    shown = [one, other] if all(sizes) else []
    shown = [values for values in shown if ledger.admit("topic", values)]
    for number in range(len(cells)) if shown else ():
        alike = np.logical_and.reduce([values == values[number] for values in shown])
        counts = np.bincount(secret[alike], minlength=3)
        assert (counts > 0).sum() >= 2
        assert not [count for count in counts if 0 < count < threshold]


# --------------------------------------------------------------------------- the flow


@given(
    cohort=st.integers(0, 30),
    lost=st.lists(st.integers(1, 20), max_size=4),
    not_index=st.lists(st.integers(1, 9), max_size=2),
    others=st.integers(0, 20),
)
def test_no_step_of_the_flow_is_small(cohort, lost, not_index, others):
    flow = flow_of_sizes(cohort, lost, not_index, others)
    shown = shown_flow(flow, THRESHOLD)
    parts = [one.patients for one in shown.lost]
    steps = [shown.cohort, shown.candidates, shown.patients_read]
    told = [step for step in steps if step is not None]
    aside = list(shown.procedures.values())
    numbers = [*parts, *told, *aside]
    for larger in told:
        numbers += [larger - smaller for smaller in told if smaller <= larger]
    if shown.candidates is not None and shown.cohort is not None and parts:
        assert sum(parts) == shown.candidates - shown.cohort
    if shown.patients_read is not None:
        within = [step for step in (shown.cohort, shown.candidates) if step is not None]
        numbers += [shown.patients_read - step - number for step in within for number in aside]
    assert [number for number in numbers if 0 < number < THRESHOLD] == []
    assert shown.unreadable is None


# --------------------------------------------------------------------------- planted faults


def test_the_attacker_finds_what_is_not_hidden(monkeypatch):
    monkeypatch.setattr(Ledger, "admit", lambda *_: True)
    monkeypatch.setattr(Ledger, "admit_shared", lambda *_: True)
    # Six patients, each of them twice: of many, the integer programs take long.
    found = given_away(drawn([*range(6)] * 2))
    # By subtraction, and by the integer programs.
    assert [line for line in found if " and " in line]
    assert [line for line in found if " is " in line]


def test_the_attacker_finds_one_complement(monkeypatch):
    """Each endpoint by itself is safe; how many are known differs by few between two of them."""
    alone: Callable[..., bool] = lambda one, other: one == other  # noqa: E731
    monkeypatch.setattr("fhircryo.research.shown_groups.linked", alone)
    monkeypatch.setattr(Ledger, "_apart", lambda *_: True)
    draws = (random.Random(seed).choices(range(62), k=150) for seed in range(8))
    assert any(given_away(drawn(chosen)) for chosen in draws)


def test_the_attacker_finds_a_threshold_that_is_one_too_low():
    cohort = drawn(random.Random(3).choices(range(62), k=120))
    shown = aggregated(cohort.analysis, cohort.tables, example().config, THRESHOLD - 1)
    assert attack(shown, cohort.tables, example().config, THRESHOLD)
