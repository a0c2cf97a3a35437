"""The results table of a cohort: the rows of a protocol's publication, beside its figures.

Denominators are the patients in whom an endpoint is known; nothing is imputed.
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
from fhircryo.research.columns import score_column, snake, within_column
from fhircryo.research.statistics.paired import Paired, wilcoxon_paired
from fhircryo.research.statistics.proportions import Proportion, proportion

if TYPE_CHECKING:
    import pandas as pd

_SIGNIFICANT = 0.05
_SMALLEST_SHOWN = 0.0005


class Row(msgspec.Struct):
    """A row of the table: what, our figure, the publication's.

    ``counted``: a proportion with its interval; ``change``: a paired change; None of other rows.
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
    patients: "pd.DataFrame", protocol: Protocol, instruments: Iterable[Instrument]
) -> list[Row]:
    """The rows that the protocol's publication reports, from the table of patients."""
    known = {instrument.key: instrument for instrument in instruments}
    return [_row(published, patients, known) for published in protocol.published]


def _row(
    published: PublishedFigure, patients: "pd.DataFrame", instruments: dict[str, Instrument]
) -> Row:
    if published.row == "prom-change":
        return _prom_row(published, patients, instruments)
    if published.row == "metastasis-within":
        words = f"{METASTASIS.key.capitalize()} within {published.months} months"
        within = _counted(patients, within_column(published.months or 0))
        return Row(words, str(within.successes), published.figure, within)
    words, figure = _COUNTED[published.row]
    return figure(words, published, patients)


def _counted(patients: "pd.DataFrame", column: str) -> Proportion:
    """Yes of those in whom it is known."""
    known = patients[column].dropna()
    return proportion(int(known.sum()), len(known))


def _share(endpoint: Endpoint) -> Callable[[str, PublishedFigure, "pd.DataFrame"], Row]:
    """A row of yes of those known, with the per cent."""

    def row(words: str, published: PublishedFigure, patients: "pd.DataFrame") -> Row:
        counted = _counted(patients, snake(endpoint.key))
        return Row(words, share(counted, published.decimals), published.figure, counted)

    return row


def share(counted: Proportion, decimals: int) -> str:
    """A proportion as ``yes/n (per cent)``, rounded half up."""
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


def _patients(words: str, published: PublishedFigure, patients: "pd.DataFrame") -> Row:
    return Row(words, str(len(patients)), published.figure)


def _not_evaluable(words: str, published: PublishedFigure, patients: "pd.DataFrame") -> Row:
    absent = int(patients[snake(DISEASE_FREE.key)].isna().sum())
    return Row(words, str(absent), published.figure, proportion(absent, len(patients)))


def _prom_row(
    published: PublishedFigure, patients: "pd.DataFrame", instruments: dict[str, Instrument]
) -> Row:
    """The paired change of a score since baseline, tested by Wilcoxon's signed ranks."""
    instrument = instruments[published.instrument or ""]
    column = score_column(instrument.key, published.time_point or "", change=True)
    change = wilcoxon_paired(patients[column].dropna())
    words = f"{instrument.words.split(',')[0]} at {published.time_point}, n = {change.n}"
    ours = _change_words(change, float(patients[column].sum()), instrument.worse)
    return Row(words, ours, published.figure, change=change)


def _change_words(change: Paired, total: float, worse: str) -> str:
    if change.p is None:
        return "no change" if change.n else "no pair"
    if change.p >= _SIGNIFICANT:
        return "no significant change"
    rose = total > 0
    direction = "worse" if rose == (worse == "higher") else "better"
    return f"{direction}, {p_words(change.p)}"


def p_words(p: float) -> str:
    """A P value as journals print it."""
    shown = "< .001" if p < _SMALLEST_SHOWN else f"= {p:.3f}".replace("0.", ".", 1)
    return f"P {shown}"


_COUNTED: dict[str, tuple[str, Callable[[str, PublishedFigure, "pd.DataFrame"], Row]]] = {
    "patients": ("Patients", _patients),
    "technical-success": ("Technical success", _share(TECHNICAL_SUCCESS)),
    "major-clavien": ("Major complication, Clavien-Dindo", _share(MAJOR_CLAVIEN)),
    "major-sir": ("Major complication, SIR", _share(MAJOR_SIR)),
    "disease-free": ("Disease-free at 12 months", _share(DISEASE_FREE)),
    "not-evaluable": ("Not evaluable at 12 months", _not_evaluable),
}
