"""The results table of a cohort: the rows of a protocol's publication, beside its figures.

Denominators are the patients in whom an endpoint is known; nothing is imputed.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import msgspec

from fhircryo.calendar import add_months
from fhircryo.endpoints.catalogue import (
    DISEASE_FREE,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    METASTASIS,
    PROM_CHANGE,
    TECHNICAL_SUCCESS,
    Endpoint,
)
from fhircryo.endpoints.compute import PatientEndpoints
from fhircryo.endpoints.result import Result
from fhircryo.mapping.protocol import Protocol, Published
from fhircryo.mapping.schema import Instrument

_SIGNIFICANT = 0.05
_SMALLEST_SHOWN = 0.0005


class Row(msgspec.Struct):
    """A row of the table: what, our figure, the publication's."""

    words: str
    ours: str
    published: str

    @property
    def same(self) -> bool:
        """Whether both figures are the same."""
        return self.ours == self.published


def results_table(
    cohort: Sequence[PatientEndpoints],
    protocol: Protocol,
    instruments: Iterable[Instrument],
) -> list[Row]:
    """The rows that the protocol's publication reports, computed from a cohort."""
    known = {instrument.key: instrument for instrument in instruments}
    return [_row(published, cohort, known) for published in protocol.published]


def _row(
    row: Published,
    cohort: Sequence[PatientEndpoints],
    instruments: dict[str, Instrument],
) -> Row:
    if row.row == "prom-change":
        return _prom_row(row, cohort, instruments)
    if row.row == "metastasis-within":
        words = f"Metastasis within {row.months} months"
        return Row(words, str(_metastases(cohort, row.months or 0)), row.figure)
    words, figure = _COUNTED[row.row]
    return Row(words, figure(cohort, row.decimals), row.figure)


def _values(cohort: Sequence[PatientEndpoints], endpoint: Endpoint) -> list[Result]:
    return [
        result for patient in cohort for result in patient.results if result.endpoint is endpoint
    ]


def _share(cohort: Sequence[PatientEndpoints], endpoint: Endpoint, decimals: int) -> str:
    """Yes of those known, with the per cent."""
    known = [result.value for result in _values(cohort, endpoint) if result.value is not None]
    yes = sum(1 for value in known if value is True)
    if not known:
        return "0/0"
    return f"{yes}/{len(known)} ({_half_up(Fraction(100 * yes, len(known)), decimals)} %)"


def _half_up(value: Fraction, decimals: int) -> str:
    scaled = value * 10**decimals + Fraction(1, 2)
    whole = scaled.numerator // scaled.denominator
    if not decimals:
        return str(whole)
    return f"{whole // 10**decimals}.{whole % 10**decimals:0{decimals}d}"


def _not_evaluable(cohort: Sequence[PatientEndpoints], _: int) -> str:
    return str(sum(1 for result in _values(cohort, DISEASE_FREE) if result.value is None))


def _metastases(cohort: Sequence[PatientEndpoints], months: int) -> int:
    """Patients with a metastasis that began no later than so many months after D0."""
    found = 0
    for patient in cohort:
        limit = add_months(patient.line.d0, months)
        for result in patient.results:
            if result.endpoint is METASTASIS and result.value is True:
                found += (result.end or result.start) <= limit
    return found


def _prom_row(
    row: Published,
    cohort: Sequence[PatientEndpoints],
    instruments: dict[str, Instrument],
) -> Row:
    """The paired change of a score since baseline, tested by Wilcoxon's signed ranks."""
    instrument = instruments[row.instrument or ""]
    changes = [
        float(result.value)
        for result in _values(cohort, PROM_CHANGE)
        if result.instrument == row.instrument
        and result.time_point == row.time_point
        and isinstance(result.value, int | Fraction)
    ]
    words = f"{instrument.words.split(',')[0]} at {row.time_point}, n = {len(changes)}"
    return Row(words, _change_words(changes, instrument.worse), row.figure)


def _change_words(changes: list[float], worse: str) -> str:
    # Imported where it is used: scipy takes longer to load than most commands to run.
    from scipy.stats import wilcoxon

    if not any(changes):
        return "no change"
    p = float(wilcoxon(changes).pvalue)
    if p >= _SIGNIFICANT:
        return "no significant change"
    rose = sum(changes) > 0
    direction = "worse" if rose == (worse == "higher") else "better"
    shown = "< .001" if p < _SMALLEST_SHOWN else f"= {p:.3f}".replace("0.", ".", 1)
    return f"{direction}, P {shown}"


_COUNTED: dict[str, tuple[str, Callable[[Sequence[PatientEndpoints], int], str]]] = {
    "patients": ("Patients", lambda cohort, _: str(len(cohort))),
    "technical-success": (
        "Technical success",
        lambda cohort, decimals: _share(cohort, TECHNICAL_SUCCESS, decimals),
    ),
    "major-clavien": (
        "Major complication, Clavien-Dindo",
        lambda cohort, decimals: _share(cohort, MAJOR_CLAVIEN, decimals),
    ),
    "major-sir": (
        "Major complication, SIR",
        lambda cohort, decimals: _share(cohort, MAJOR_SIR, decimals),
    ),
    "disease-free": (
        "Disease-free at 12 months",
        lambda cohort, decimals: _share(cohort, DISEASE_FREE, decimals),
    ),
    "not-evaluable": ("Not evaluable at 12 months", _not_evaluable),
}
