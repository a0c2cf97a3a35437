"""What figures show of single patients; none of it is shown of an aggregate."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import PSA_NADIR, WORST_CLAVIEN
from fhircryo.record.items import EventKind
from fhircryo.research.cohort_tables import Cohort
from fhircryo.research.columns import (
    ADVERSE_EVENTS,
    EVENTS,
    PATIENTS,
    PSA,
    Certainty,
)
from fhircryo.research.complication_summary import (
    AttributedKind,
    attributed_kinds,
    kind_words,
    known_levels,
)
from fhircryo.research.table import PATIENT, snake

if TYPE_CHECKING:
    import pandas as pd

_NADIR = snake(PSA_NADIR.key)
_BASELINE = "baseline_psa"
_CONTACT = "last_contact_days"
_CLAVIEN = snake(WORST_CLAVIEN.scale)
#: The columns of the table of PSA results that are drawn.
PSA_COLUMNS = (PATIENT, "days", "psa", "failure")
#: The columns of the table of patients that are drawn.
_PATIENT_COLUMNS = (
    *(PATIENT, _CONTACT, _BASELINE, f"{_BASELINE}_comparator", _NADIR),
    f"{_NADIR}_comparator",
)
_EVENT_COLUMNS = (PATIENT, "kind", "certainty", "days")
_COMPLICATION_COLUMNS = (PATIENT, "attribution", "kinds", "days", _CLAVIEN)


class Swimmer(msgspec.Struct, frozen=True):
    """A patient's follow-up in days, and the kinds and days of the dated events after index.

    ``days``: to the last contact or the death, whichever is later.
    """

    patient: str
    days: int
    events: tuple[tuple[EventKind, int], ...]


@dataclass(frozen=True)
class SinglePatients:
    """What is drawn of single patients.

    ``psa``: the results, with PSA_COLUMNS. ``changes``: ``patient`` and ``change``, the change from
    the baseline to the nadir in per cent, in descending order. ``nadirs``: in ng/mL, one of each
    patient, the limit of one that is only known to be below a limit. ``complications``: of a known
    day, their kinds in words. ``grades``: the Clavien-Dindo
    grades in their order.
    """

    psa: "pd.DataFrame"
    changes: "pd.DataFrame"
    nadirs: list[float]
    swimmers: tuple[Swimmer, ...]
    complications: tuple[AttributedKind, ...]
    grades: tuple[str, ...]


def single_patients(cohort: Cohort) -> SinglePatients:
    """What is drawn of the patients of a cohort."""
    patients = cohort.stored[PATIENTS].frame(_PATIENT_COLUMNS)
    mappings = cohort.config.mappings
    return SinglePatients(
        cohort.stored[PSA].frame(PSA_COLUMNS),
        psa_changes(patients),
        patients[_NADIR].dropna().astype(float).tolist(),
        swimmers(patients, cohort.stored[EVENTS].frame(_EVENT_COLUMNS)),
        complication_times(
            cohort.stored[ADVERSE_EVENTS].frame(_COMPLICATION_COLUMNS), kind_words(mappings)
        ),
        known_levels(mappings, WORST_CLAVIEN.scale),
    )


def psa_changes(patients: "pd.DataFrame") -> "pd.DataFrame":
    """The change of PSA from baseline to nadir in per cent, where neither has a comparator.

    An undetectable nadir is the value that the protocol has it stand for.
    """
    exact = patients[f"{_BASELINE}_comparator"].isna() & patients[f"{_NADIR}_comparator"].isna()
    known = patients[exact & (patients[_BASELINE] > 0) & patients[_NADIR].notna()]
    change = 100 * (known[_NADIR] - known[_BASELINE]) / known[_BASELINE]
    found = known[[PATIENT]].assign(change=change.astype(float))
    return found.sort_values(["change", PATIENT], ascending=[False, True])


def swimmers(patients: "pd.DataFrame", events: "pd.DataFrame") -> tuple[Swimmer, ...]:
    """The follow-up of each patient with any contact, the longest first."""
    dated = events[events["certainty"] == str(Certainty.DAY)]
    of_patient: dict[str, list[tuple[EventKind, int]]] = {}
    rows: Iterable[tuple[str, str, int]] = zip(
        dated[PATIENT], dated["kind"], dated["days"], strict=True
    )
    for patient, kind, day in rows:
        if day >= 0:
            of_patient.setdefault(patient, []).append((EventKind(kind), int(day)))
    followed = patients[patients[_CONTACT].notna()]
    found = []
    for patient, contact in zip(followed[PATIENT], followed[_CONTACT], strict=True):
        dated_events = tuple(of_patient.get(patient, ()))
        deaths = (day for kind, day in dated_events if kind is EventKind.DEATH)
        found.append(Swimmer(str(patient), max(int(contact), *deaths, 0), dated_events))
    return tuple(sorted(found, key=lambda one: (-one.days, one.patient)))


def complication_times(
    adverse_events: "pd.DataFrame", words: dict[str, str]
) -> tuple[AttributedKind, ...]:
    """The attributed complications of a known day, one for each of their kinds in words."""
    return tuple(
        one._replace(kind=words[one.kind])
        for one in attributed_kinds(adverse_events)
        if one.days is not None
    )
