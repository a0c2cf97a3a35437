"""The results table of a cohort: our figures beside those of the protocol's publication.

The denominator of a proportion is the number of patients whose endpoint is known; nothing is
imputed.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import (
    DISEASE_FREE,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    METASTASIS,
    TECHNICAL_SUCCESS,
    Endpoint,
)
from fhircryo.endpoints.labels import label
from fhircryo.mapping.instrument_schema import (
    Instrument,
)
from fhircryo.mapping.protocol import Protocol, PublishedFigure
from fhircryo.research.complication_summary import NOT_RECORDED, scales_not_recorded
from fhircryo.research.evaluable import NOT_ESTIMABLE, lacks_type
from fhircryo.research.patient_columns import score_column, within_column
from fhircryo.research.statistics.paired import Paired, wilcoxon_paired
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.table import snake

if TYPE_CHECKING:
    import pandas as pd

#: The row of the protocol that counts early metastases.
METASTASIS_WITHIN = "metastasis-within"
_SIGNIFICANT = 0.05
_SMALLEST_SHOWN = 0.0005


class ResultsRow(msgspec.Struct):
    """A row of the table: its label, our figure and the published figure.

    ``counted``: the proportion of the row, ``change``: its paired change; None if it has none.
    """

    words: str
    ours: str
    published: str
    counted: Proportion | None = None
    change: Paired | None = None

    @property
    def same(self) -> bool:
        """Whether both figures are the same."""
        return self.ours == self.published


def results_table(
    patients: "pd.DataFrame",
    adverse_events: "pd.DataFrame",
    protocol: Protocol,
    instruments: Iterable[Instrument],
) -> list[ResultsRow]:
    """The rows that the publication reports, computed from the tables of a cohort."""
    by_key = {instrument.key: instrument for instrument in instruments}
    not_recorded = scales_not_recorded(adverse_events)
    rows = []
    for published in protocol.published:
        endpoint = SHARES.get(published.row)
        if published.row == "prom-change":
            row = _prom_row(published, patients, by_key)
        elif endpoint is None:
            row = _COUNTS[published.row](published, patients, protocol)
        elif endpoint.scale in not_recorded:
            row = ResultsRow(label(endpoint, protocol), NOT_RECORDED, published.figure)
        else:
            row = _share(endpoint, published, patients, protocol)
        rows.append(row)
    return rows


def _counted(patients: "pd.DataFrame", column: str) -> Proportion:
    """The patients with yes, of those whose value is known."""
    known = patients[column].dropna()
    return proportion(int(known.sum()), len(known))


def _share(
    endpoint: Endpoint, published: PublishedFigure, patients: "pd.DataFrame", protocol: Protocol
) -> ResultsRow:
    """The number of patients with yes, of those whose value is known."""
    column = snake(endpoint.key)
    if lacks_type(patients, column):
        return ResultsRow(label(endpoint, protocol), NOT_ESTIMABLE, published.figure)
    counted = _counted(patients, column)
    ours = share(counted, published.decimals)
    return ResultsRow(label(endpoint, protocol), ours, published.figure, counted)


def share(counted: Proportion, decimals: int) -> str:
    """A proportion as ``yes/n (percentage)``, rounded half up."""
    if not counted.n:
        return "0/0"
    percent = _half_up(Fraction(100 * counted.successes, counted.n), decimals)
    return f"{counted.successes}/{counted.n} ({percent} %)"


def _half_up(value: Fraction, decimals: int) -> str:
    scaled = value * 10**decimals + Fraction(1, 2)
    whole = scaled.numerator // scaled.denominator
    if not decimals:
        return str(whole)
    return f"{whole // 10**decimals}.{whole % 10**decimals:0{decimals}d}"


def _patients(published: PublishedFigure, patients: "pd.DataFrame", _: Protocol) -> ResultsRow:
    return ResultsRow("Patients", str(len(patients)), published.figure)


def _metastasis_within(
    published: PublishedFigure, patients: "pd.DataFrame", protocol: Protocol
) -> ResultsRow:
    words = f"{label(METASTASIS, protocol)} within {published.months} months"
    if lacks_type(patients, snake(METASTASIS.key)):
        return ResultsRow(words, NOT_ESTIMABLE, published.figure)
    within = _counted(patients, within_column(published.months or 0))
    return ResultsRow(words, str(within.successes), published.figure, within)


def _not_evaluable(
    published: PublishedFigure, patients: "pd.DataFrame", protocol: Protocol
) -> ResultsRow:
    absent = int(patients[snake(DISEASE_FREE.key)].isna().sum())
    words = f"Not evaluable at {protocol.disease_free.landmark_months} months"
    return ResultsRow(words, str(absent), published.figure, proportion(absent, len(patients)))


def _prom_row(
    published: PublishedFigure, patients: "pd.DataFrame", instruments: dict[str, Instrument]
) -> ResultsRow:
    """The paired change of a score since baseline, tested with Wilcoxon's signed-rank test."""
    instrument = instruments[published.instrument or ""]
    column = score_column(instrument.key, published.time_point or "", change=True)
    change = wilcoxon_paired(patients[column].dropna())
    words = f"{instrument.words.split(',')[0]} at {published.time_point}, n = {change.n}"
    ours = _change_words(change, float(patients[column].sum()), instrument.worse)
    return ResultsRow(words, ours, published.figure, change=change)


def _change_words(change: Paired, total: float, worse: str) -> str:
    """Whether scores became better or worse; ``total``: the sum of all changes."""
    if change.p is None:
        return "no change" if change.n else "no pair"
    if change.p >= _SIGNIFICANT:
        return "no significant change"
    rose = total > 0
    direction = "worse" if rose == (worse == "higher") else "better"
    return f"{direction}, {p_words(change.p)}"


def p_words(p: float) -> str:
    """A P value in the style of journals: ``P = .012`` or ``P < .001``."""
    shown = "< .001" if p < _SMALLEST_SHOWN else f"= {p:.3f}".replace("0.", ".", 1)
    return f"P {shown}"


#: By row of the protocol, the endpoint of which it is the share of patients with yes.
SHARES = {
    "technical-success": TECHNICAL_SUCCESS,
    "major-clavien": MAJOR_CLAVIEN,
    "major-sir": MAJOR_SIR,
    "disease-free": DISEASE_FREE,
}
#: By row of the protocol, what makes it from the table of patients.
_COUNTS: dict[str, Callable[[PublishedFigure, "pd.DataFrame", Protocol], ResultsRow]] = {
    "patients": _patients,
    METASTASIS_WITHIN: _metastasis_within,
    "not-evaluable": _not_evaluable,
}
