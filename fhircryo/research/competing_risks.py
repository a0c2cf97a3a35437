"""Cumulative incidence of events that a death can come before."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import (
    DISEASE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    OVERALL_SURVIVAL,
    TIME_TO_FAILURE,
    TIME_TO_SALVAGE_THERAPY,
    Endpoint,
)
from fhircryo.endpoints.value_types import Detail
from fhircryo.research.endpoint_columns import death_column, detail_column
from fhircryo.research.evaluable import lacks_type
from fhircryo.research.intervals import midpoints
from fhircryo.research.statistics.competing import (
    Ending,
    Incidence,
    IncidenceEstimate,
    aalen_johansen,
)
from fhircryo.research.statistics.kaplan_meier import Estimate, kaplan_meier
from fhircryo.research.survival import landmark_days
from fhircryo.research.table import snake

if TYPE_CHECKING:
    import pandas as pd

#: What happens in each of the times of which the cumulative incidence is estimated.
_EVENTS = (
    (TIME_TO_FAILURE, "Biochemical failure"),
    (DISEASE_FREE_SURVIVAL, "Any event of disease"),
    (METASTASIS_FREE_SURVIVAL, "Metastasis"),
    (TIME_TO_SALVAGE_THERAPY, "Salvage therapy"),
)


class IncidenceReading(msgspec.Struct, frozen=True):
    """The cumulative incidence at a day, and what Kaplan-Meier gives with deaths censored."""

    incidence: IncidenceEstimate
    kaplan_meier: Estimate


class CompetingRisk(msgspec.Struct, frozen=True):
    """The cumulative incidence of an event, death being the competing one.

    ``endpoint``: the time to the event; ``words``: the event. ``patients``: those whose time is
    known; ``deaths``: of those who died before the event.
    """

    endpoint: Endpoint
    words: str
    patients: int
    events: int
    deaths: int
    curve: Incidence
    competing: Incidence
    readings: tuple[IncidenceReading, ...]


def competing_risks(patients: "pd.DataFrame") -> tuple[CompetingRisk, ...]:
    """The cumulative incidences of a cohort; not where the source lacks a type of resource."""
    return tuple(
        _risk(patients, endpoint, words)
        for endpoint, words in _EVENTS
        if not lacks_type(patients, snake(endpoint.key))
    )


def _risk(patients: "pd.DataFrame", endpoint: Endpoint, words: str) -> CompetingRisk:
    column, died = snake(endpoint.key), death_column(endpoint)
    known = patients[patients[column].notna() & patients[died].notna()]
    own = midpoints(known[column], known[detail_column(endpoint, Detail.HIGH)])
    deaths = [bool(death) for death in known[died]]
    happened = [bool(event) for event in known[detail_column(endpoint, Detail.EVENT)]]
    survived = snake(OVERALL_SURVIVAL.key)
    to_death = midpoints(known[survived].fillna(known[column]), known[f"{survived}_{Detail.HIGH}"])
    days, endings = [], []
    for day, last, death, event in zip(own, to_death, deaths, happened, strict=True):
        days.append(max(day, last) if death and not event else day)
        endings.append(_ending(death=death, event=event))
    curve = aalen_johansen(days, endings)
    alone = kaplan_meier(days, [ending is Ending.EVENT for ending in endings])
    readings = tuple(
        IncidenceReading(curve.at(day), alone.at(day)) for day in landmark_days(curve.days)
    )
    return CompetingRisk(
        endpoint,
        words,
        len(days),
        endings.count(Ending.EVENT),
        endings.count(Ending.COMPETING),
        curve,
        aalen_johansen(days, [_exchanged(ending) for ending in endings]),
        readings,
    )


def _ending(*, death: bool, event: bool) -> Ending:
    if death:
        return Ending.COMPETING
    return Ending.EVENT if event else Ending.CENSORED


def _exchanged(ending: Ending) -> Ending:
    """The ending if the death is the event that is asked about."""
    return {Ending.EVENT: Ending.COMPETING, Ending.COMPETING: Ending.EVENT}.get(ending, ending)
