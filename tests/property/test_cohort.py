"""What holds for a cohort's tables: order, as-of, days; and that they can be built at all."""

import random
from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.mapping.protocol import Protocol, SalvageRule
from fhircryo.research.aggregate import aggregated
from fhircryo.research.cohort_tables import Cohort, cohort_of
from fhircryo.research.pseudonyms import Pseudonyms
from fhircryo.research.table_options import TableOptions
from fhircryo.runs.in_memory import read_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from tests.property.strategies import AS_OF, D0, after_as_of, patients
from tests.property.test_properties import OTHERS

MAPPINGS = load_mappings()
PROTOCOL = load_protocol()
PROTOCOLS = [
    load_protocol("oishi-2019"),
    *(PROTOCOL.model_copy(update={"salvage_therapy": rule}) for rule in get_args(SalvageRule)),
]
NAMES = Pseudonyms(b"the same key every time")
some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cohort(
    resources: list[Any], protocol: Protocol = PROTOCOL, *, identified: bool = False
) -> Cohort:
    job = RunConfig(MAPPINGS, protocol, AS_OF, Settings.model_construct())
    name = str if identified else NAMES.of
    options = TableOptions(name, identified)
    return cohort_of(read_resources([*resources, *OTHERS], job), job, options)


def same(one: Cohort, other: Cohort, *left_out: str) -> None:
    for name in one.arrow.keys() - set(left_out):
        assert one.arrow[name].equals(other.arrow[name]), name


@some
@given(patients(), st.randoms(use_true_random=False), st.sampled_from(PROTOCOLS), st.booleans())
def test_the_order_of_input_never_matters(
    resources: list, order: random.Random, protocol: Protocol, identified: bool
) -> None:
    shuffled = list(resources)
    order.shuffle(shuffled)
    found = [cohort(one, protocol, identified=identified) for one in (resources, shuffled)]
    same(*found)


@some
@given(patients(), st.lists(after_as_of(), min_size=1, max_size=2))
def test_what_is_dated_after_as_of_changes_only_what_was_not_used(
    resources: list, late: list
) -> None:
    same(cohort(resources), cohort([*resources, *late]), "not_used")


@some
@given(patients(), st.sampled_from(PROTOCOLS))
def test_every_number_and_every_small_group_can_be_told(
    resources: list, protocol: Protocol
) -> None:
    found = cohort(resources, protocol)
    assert found.flow.cohort == 1
    assert found.analysis.flow.cohort == len(found["patients"])
    hidden = aggregated(found.analysis, found.tables, found.config, 5)
    assert all(one.patients is None for one in hidden.evaluable)
    assert all(one.curve is None and not one.landmarks for one in hidden.survival)


@some
@given(patients())
def test_no_date_can_be_had_from_pseudonymised_tables(resources: list) -> None:
    """Days of what is known to the day only: a month's or year's end would tell when day 0 was."""
    open_, closed = cohort(resources, identified=True), cohort(resources)
    for name in ("events", "adverse_events"):
        dated = open_[name]
        vague = dated["date_first"] != dated["date_last"]
        assert dated["days"][vague].isna().all()
        assert list(closed[name]["days"]) == list(dated["days"])
    endpoints = open_["endpoints"]
    known = endpoints[endpoints["days"].notna()]
    assert (known["date_first"] == known["date_last"]).all()
    as_of = (AS_OF - D0).days
    for name, frame in closed.tables.items():
        days = [one for one in frame.columns if one.endswith("days")]
        for column in days:
            assert not (frame[column].dropna() > as_of).any(), (name, column)
