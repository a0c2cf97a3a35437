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


#: Reasons for which a patient has no answer at all, now or ever.
_NOT_IN_QUESTION = (Reason.METASTATIC_AT_BASELINE, Reason.LANDMARK_NOT_REACHED)


class DiseaseFreeRate(msgspec.Struct, frozen=True):
    """The rate under a rule; ``in_protocol``: whether it is the protocol's rule.

    ``rate``: yes, of yes and no. ``with_no_response``: the same with those whose PSA never fell
    below the baseline (``no-psa-response``) counted as no. ``worst`` and ``best``: with all of whom
    it could be known but is not counted as no, and as yes. All are None if too few to be shown, and
    if not ``estimable``: where the source lacks a type of resource, only those who are not
    disease-free are known.
    ``absent``: why the others are not evaluable.
    """

    rule: SalvageRule
    in_protocol: bool
    rate: Proportion | None
    with_no_response: Proportion | None
    worst: Proportion | None
    best: Proportion | None
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
        return DiseaseFreeRate(rule, in_protocol, None, None, None, None, absent, estimable=False)
    patients_by_reason = {absence.reason: absence.patients or 0 for absence in absent}
    unanswered = patients_by_reason.get(Reason.NO_PSA_RESPONSE, 0)
    unknown = sum(
        number for reason, number in patients_by_reason.items() if reason not in _NOT_IN_QUESTION
    )
    return DiseaseFreeRate(
        rule,
        in_protocol,
        proportion(yes, len(known)),
        proportion(yes, len(known) + unanswered),
        proportion(yes, len(known) + unknown),
        proportion(yes + unknown, len(known) + unknown),
        absent,
    )
