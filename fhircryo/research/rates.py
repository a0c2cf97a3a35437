"""The rates of a cohort for programs: those of the report, under keys that hospitals share."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from fhircryo.endpoints.catalogue import (
    BIOCHEMICAL_FAILURE,
    DISEASE_FREE,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    METASTASIS,
    TECHNICAL_SUCCESS,
    TIME_TO_FAILURE,
)
from fhircryo.endpoints.labels import label
from fhircryo.mapping.protocol import Protocol
from fhircryo.research.analysis import Analysis
from fhircryo.research.results_table import METASTASIS_WITHIN
from fhircryo.research.statistics.proportions import Proportion, proportion


class Rate(msgspec.Struct, frozen=True):
    """A rate; ``counted``: None if it is not estimable, not recorded, or may not be shown."""

    key: str
    words: str
    counted: Proportion | None


def rates(shown: Analysis, protocol: Protocol) -> tuple[Rate, ...]:
    """The rates that a report shows; which there are depends on the protocol alone.

    ``shown``: for an aggregate, the analysis without small groups.
    """
    return tuple(_rates(shown, protocol))


def _rates(shown: Analysis, protocol: Protocol) -> Iterator[Rate]:
    by_rule = [rate.rate for rate in shown.disease_free if rate.in_protocol]
    yield Rate(DISEASE_FREE.key, label(DISEASE_FREE, protocol), by_rule[0] if by_rule else None)
    endpoints = (MAJOR_CLAVIEN, MAJOR_SIR)
    for endpoint, share in zip(endpoints, shown.complications.shares, strict=True):
        yield Rate(endpoint.key, share.words, share.counted)
    yield Rate("salvage-therapy", "Salvage therapy", shown.salvaged)
    failure = label(BIOCHEMICAL_FAILURE, protocol)
    yield Rate(BIOCHEMICAL_FAILURE.key, f"{failure}, during follow-up", _failed(shown))
    yield Rate(
        f"{BIOCHEMICAL_FAILURE.key}-confirmed",
        f"{failure}, confirmed by a later PSA",
        next((rate.counted for rate in shown.failures if rate.key == "confirmed"), None),
    )
    for row, published in zip(shown.table, protocol.published, strict=True):
        if published.row == TECHNICAL_SUCCESS.key:
            yield Rate(TECHNICAL_SUCCESS.key, label(TECHNICAL_SUCCESS, protocol), row.counted)
        elif published.row == METASTASIS_WITHIN:
            key = f"{METASTASIS.key}-within-{published.months}-months"
            yield Rate(key, row.words, row.counted)


def _failed(shown: Analysis) -> Proportion | None:
    """The patients with biochemical failure, of those whose time to it is known."""
    for time in shown.survival:
        if time.endpoint is TIME_TO_FAILURE:
            if not time.estimable or time.patients is None or time.events is None:
                return None
            return proportion(time.events, time.patients)
    return None


def rates_json(found: Iterable[Rate]) -> dict[str, Any]:
    """Rates as data for JSON; null where a rate is not shown."""
    return {
        "rates": [
            {
                "key": rate.key,
                "words": rate.words,
                "successes": None if rate.counted is None else rate.counted.successes,
                "n": None if rate.counted is None else rate.counted.n,
            }
            for rate in found
        ]
    }
