"""The complications of a cohort: their kinds, and what the grading scales can and cannot tell."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fhircryo.endpoints.catalogue import CATALOGUE, WORST_CLAVIEN, Endpoint
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.value_types import ValueForm
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.research.columns import OTHER_KIND, Attribution
from fhircryo.research.endpoint_columns import grade_levels
from fhircryo.research.evaluable import Absence, absences, lacks_type
from fhircryo.research.statistics.distribution import Distribution, distribution
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.table import PATIENT, snake
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

#: What stands for a share of a scale that no attributed event of the cohort carries.
NOT_RECORDED = "not recorded"
#: Stands for a grade that is not known.
NOT_KNOWN = "not known"


class AttributedKind(NamedTuple):
    """A kind of an attributed event: whose, its Clavien-Dindo grade, and its day if it is known."""

    patient: str
    kind: str
    grade: str
    days: int | None


class KindCount(msgspec.Struct, frozen=True):
    """A kind of complication: attributed events, and the patients with any; None: not shown.

    ``words``: the kind for people. ``grades``: the complications by Clavien-Dindo grade; ``days``:
    after the index procedure, where they are known. Both are empty if they may not be shown.
    """

    kind: str
    words: str
    events: int | None
    patients: int | None
    grades: tuple[tuple[str, int], ...] = ()
    days: Distribution | None = None


class GradedShare(msgspec.Struct, frozen=True):
    """The patients with a complication of a grade, of those in whom it is known.

    ``recorded``: whether any attributed event of the cohort carries the scale; if not, there is no
    share. ``left_out``: the patients with attributed events who are not in the denominator, which
    makes the share too low; None if too few to be shown. ``all_with_events``: whether everybody who
    is not in the denominator has attributed events. ``absent``: why they are not in it.
    ``estimable``: not where the source lacks adverse events.
    """

    words: str
    recorded: bool
    counted: Proportion | None
    left_out: int | None
    all_with_events: bool
    absent: tuple[Absence, ...]
    estimable: bool = True


class ComplicationSummary(msgspec.Struct, frozen=True):
    """The complications of a cohort; ``not_recorded``: the scales that no event carries."""

    kinds: tuple[KindCount, ...]
    shares: tuple[GradedShare, ...]
    not_recorded: tuple[str, ...]


def complication_summary(
    patients: "pd.DataFrame", adverse_events: "pd.DataFrame", config: RunConfig
) -> ComplicationSummary:
    """The complications from the tables of patients and of adverse events."""
    attributed = _attributed(adverse_events)
    with_events = patients[PATIENT].isin(attributed[PATIENT])
    missing = scales_not_recorded(adverse_events)
    shares = tuple(
        _share(
            patients,
            with_events,
            endpoint,
            config.protocol,
            recorded=endpoint.scale not in missing,
        )
        for endpoint in CATALOGUE
        if endpoint.scale and endpoint.value_type.form is ValueForm.YES_NO
    )
    kinds = _kinds(adverse_events, config.mappings)
    return ComplicationSummary(kinds, shares, tuple(sorted(missing)))


def scales_not_recorded(adverse_events: "pd.DataFrame") -> frozenset[str]:
    """The scales that no attributed event of the cohort carries."""
    attributed = _attributed(adverse_events)
    scales = {endpoint.scale for endpoint in CATALOGUE if endpoint.scale}
    return frozenset(scale for scale in scales if not attributed[snake(scale)].notna().any())


def _attributed(adverse_events: "pd.DataFrame") -> "pd.DataFrame":
    return adverse_events[adverse_events["attribution"] == str(Attribution.ATTRIBUTED)]


def attributed_kinds(adverse_events: "pd.DataFrame") -> Iterator[AttributedKind]:
    """The attributed events of the table of adverse events, each once for each of its kinds."""
    attributed = _attributed(adverse_events)
    column = snake(WORST_CLAVIEN.scale)
    grades = attributed[column].astype(object).fillna(NOT_KNOWN)
    days = attributed["days"].astype(object).where(attributed["days"].notna(), None)
    rows = zip(attributed[PATIENT], attributed["kinds"], grades, days, strict=True)
    for patient, kinds, grade, day in rows:
        for kind in kinds.split(", "):
            yield AttributedKind(str(patient), kind, str(grade), None if day is None else int(day))


def kind_words(mappings: Mappings) -> dict[str, str]:
    """The kinds of complications for people, in the order of the mappings."""
    return mappings.complication_kinds.words | {OTHER_KIND: OTHER_KIND.capitalize()}


def known_levels(mappings: Mappings, scale: str) -> tuple[str, ...]:
    """The grades of a scale in their order, and what stands for one that is not known."""
    return (*grade_levels(mappings, scale), NOT_KNOWN)


def _kinds(adverse_events: "pd.DataFrame", mappings: Mappings) -> tuple[KindCount, ...]:
    """The kinds in the order of the mappings; only those that there are."""
    found: dict[str, list[AttributedKind]] = defaultdict(list)
    for one in attributed_kinds(adverse_events):
        found[one.kind].append(one)
    levels = known_levels(mappings, WORST_CLAVIEN.scale)
    words = kind_words(mappings)
    return tuple(_kind(words[kind], found[kind], levels) for kind in words if kind in found)


def _kind(words: str, rows: list[AttributedKind], levels: tuple[str, ...]) -> KindCount:
    counts = Counter(one.grade for one in rows)
    grades = tuple((level, counts[level]) for level in levels if counts[level])
    days = distribution(one.days for one in rows if one.days is not None)
    return KindCount(
        rows[0].kind, words, len(rows), len({one.patient for one in rows}), grades, days
    )


def patients_by_kind(adverse_events: "pd.DataFrame") -> dict[str, set[str]]:
    """The patients with an attributed event of each kind; only kinds that there are."""
    patients: dict[str, set[str]] = defaultdict(set)
    for one in attributed_kinds(adverse_events):
        patients[one.kind].add(one.patient)
    return patients


def _share(
    patients: "pd.DataFrame",
    with_events: "pd.Series[bool]",
    endpoint: Endpoint,
    protocol: Protocol,
    *,
    recorded: bool,
) -> GradedShare:
    column = snake(endpoint.key)
    known = patients[column].dropna()
    unknown = patients[column].isna()
    estimable = not lacks_type(patients, column)
    left_out = int((unknown & with_events).sum())
    return GradedShare(
        label(endpoint, protocol),
        recorded,
        proportion(int(known.sum()), len(known)) if recorded and estimable else None,
        left_out,
        left_out == int(unknown.sum()) > 0,
        absences(patients, column),
        estimable,
    )
