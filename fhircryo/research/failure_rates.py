"""Biochemical failure as computed and only as confirmed by a later PSA result, side by side."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import BIOCHEMICAL_FAILURE
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import Reason
from fhircryo.research.endpoint_columns import CONFIRMED_FAILURE
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.table import snake

if TYPE_CHECKING:
    import pandas as pd


class FailureRate(msgspec.Struct, frozen=True):
    """The patients with biochemical failure, of those in whom it is known, under a rule.

    ``key``: of the rule, for programs. ``counted``: None if it may not be shown.
    """

    key: str
    words: str
    counted: Proportion | None


def failure_rates(patients: "pd.DataFrame", protocol: Protocol) -> tuple[FailureRate, ...]:
    """The rates of a cohort from the table of patients: as computed, and confirmed.

    A failure that no later result confirms or contradicts is unconfirmed, and not counted; the last
    two rates count all of these as failures, and as none.
    """
    computed = patients[snake(BIOCHEMICAL_FAILURE.key)].dropna()
    confirmed = patients[CONFIRMED_FAILURE].dropna()
    reasons = patients[f"{CONFIRMED_FAILURE}_reason"].astype(object)
    open_ones = int((reasons == str(Reason.UNCONFIRMED)).sum())
    yes, known = int(confirmed.sum()), len(confirmed)
    days = protocol.biochemical_failure.confirm_days
    by = "by the next PSA" if days is None else f"by a PSA at least {days} days later"
    return (
        FailureRate("computed", "As computed", proportion(int(computed.sum()), len(computed))),
        FailureRate("confirmed", f"Confirmed {by}", proportion(yes, known)),
        FailureRate(
            "unconfirmed-as-failure",
            "Confirmed, or not yet confirmed or contradicted",
            proportion(yes + open_ones, known + open_ones),
        ),
        FailureRate(
            "unconfirmed-as-none",
            "Confirmed; not yet confirmed counted as no failure",
            proportion(yes, known + open_ones),
        ),
    )
