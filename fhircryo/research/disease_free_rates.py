"""The disease-free rate at the landmark under each rule for salvage therapy, side by side."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.by_salvage_rule import SALVAGE_RULES
from fhircryo.mapping.protocol import Protocol, SalvageRule
from fhircryo.record.items import Reason
from fhircryo.research.endpoint_columns import rule_column
from fhircryo.research.evaluable import Absence, absences, lacks_type
from fhircryo.research.statistics.proportions import Proportion, proportion

if TYPE_CHECKING:
    import pandas as pd


class DiseaseFreeRate(msgspec.Struct, frozen=True):
    """The rate under a rule; ``in_protocol``: whether it is the protocol's rule.

    ``rate``: yes, of yes and no. ``with_no_response``: the same with those whose PSA never fell
    below the baseline (``no-psa-response``) counted as no. Both are None if too few to be shown,
    and if not ``estimable``: where the source lacks a type of resource, only those who are not
    disease-free are known.
    ``absent``: why the others are not evaluable.
    """

    rule: SalvageRule
    in_protocol: bool
    rate: Proportion | None
    with_no_response: Proportion | None
    absent: tuple[Absence, ...]
    estimable: bool = True


def disease_free_rates(patients: "pd.DataFrame", protocol: Protocol) -> tuple[DiseaseFreeRate, ...]:
    """The rates of a cohort from the table of patients."""
    return tuple(
        _rate(patients, rule, in_protocol=rule == protocol.salvage_therapy)
        for rule in SALVAGE_RULES
    )


def _rate(patients: "pd.DataFrame", rule: SalvageRule, *, in_protocol: bool) -> DiseaseFreeRate:
    known = patients[rule_column(rule)].dropna()
    yes = int(known.sum())
    absent = absences(patients, rule_column(rule))
    if lacks_type(patients, rule_column(rule)):
        return DiseaseFreeRate(rule, in_protocol, None, None, absent, estimable=False)
    unanswered = sum(
        absence.patients or 0 for absence in absent if absence.reason == Reason.NO_PSA_RESPONSE
    )
    return DiseaseFreeRate(
        rule,
        in_protocol,
        proportion(yes, len(known)),
        proportion(yes, len(known) + unanswered),
        absent,
    )
