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
from fhircryo.mapping.protocol import Protocol, PublishedFigure
from fhircryo.mapping.schema import Instrument
from fhircryo.research.columns import score_column, within_column
from fhircryo.research.statistics.paired import Paired, wilcoxon_paired
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.table import snake

if TYPE_CHECKING:
    import pandas as pd

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


#: Makes a row from its label, the published figure and the table of patients.
RowMaker = Callable[[str, PublishedFigure, "pd.DataFrame"], ResultsRow]


def results_table(
    patients: "pd.DataFrame", protocol: Protocol, instruments: Iterable[Instrument]
) -> list[ResultsRow]:
    """The rows that the publication reports, computed from the table of patients."""
    by_key = {instrument.key: instrument for instrument in instruments}
    return [_row(published, patients, by_key) for published in protocol.published]


def _row(
    published: PublishedFigure, patients: "pd.DataFrame", instruments: dict[str, Instrument]
) -> ResultsRow:
    if published.row == "prom-change":
        return _prom_row(published, patients, instruments)
    if published.row == "metastasis-within":
        words = f"{METASTASIS.key.capitalize()} within {published.months} months"
        within = _counted(patients, within_column(published.months or 0))
        return ResultsRow(words, str(within.successes), published.figure, within)
    words, make_row = _ROWS[published.row]
    return make_row(words, published, patients)


def _counted(patients: "pd.DataFrame", column: str) -> Proportion:
    """The patients with yes, of those whose value is known."""
    known = patients[column].dropna()
    return proportion(int(known.sum()), len(known))


def _share(endpoint: Endpoint) -> RowMaker:
    """A row with the number of patients with yes, of those whose value is known."""

    def row(words: str, published: PublishedFigure, patients: "pd.DataFrame") -> ResultsRow:
        counted = _counted(patients, snake(endpoint.key))
        return ResultsRow(words, share(counted, published.decimals), published.figure, counted)

    return row


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


def _patients(words: str, published: PublishedFigure, patients: "pd.DataFrame") -> ResultsRow:
    return ResultsRow(words, str(len(patients)), published.figure)


def _not_evaluable(words: str, published: PublishedFigure, patients: "pd.DataFrame") -> ResultsRow:
    absent = int(patients[snake(DISEASE_FREE.key)].isna().sum())
    counted = proportion(absent, len(patients))
    return ResultsRow(words, str(absent), published.figure, counted)


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


#: By row of the protocol, its label and what makes it.
_ROWS: dict[str, tuple[str, RowMaker]] = {
    "patients": ("Patients", _patients),
    "technical-success": ("Technical success", _share(TECHNICAL_SUCCESS)),
    "major-clavien": ("Major complication, Clavien-Dindo", _share(MAJOR_CLAVIEN)),
    "major-sir": ("Major complication, SIR", _share(MAJOR_SIR)),
    "disease-free": ("Disease-free at 12 months", _share(DISEASE_FREE)),
    "not-evaluable": ("Not evaluable at 12 months", _not_evaluable),
}
