"""Numbers in the style of a journal."""

from fhircryo.research.baseline_summary import BaselineRow
from fhircryo.research.flow import NOT_SHOWN
from fhircryo.research.follow_up import FollowUp
from fhircryo.research.results_table import p_words
from fhircryo.research.statistics.competing import IncidenceEstimate
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.groups import HazardRatio
from fhircryo.research.statistics.kaplan_meier import Estimate
from fhircryo.research.statistics.paired import Paired
from fhircryo.research.statistics.proportions import Proportion
from fhircryo.research.survival import MONTH

#: Shown in place of a value that does not exist.
NONE = "–"


def number(value: float | None, decimals: int = 1) -> str:
    """A number with at most this number of decimals."""
    if value is None:
        return NONE
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def spaced(key: str) -> str:
    """The key of a time point as words: ``12 months``."""
    return key.replace("-", " ")


def count(value: int | None) -> str:
    """A count, or ``not shown``."""
    return NOT_SHOWN if value is None else str(value)


def proportion(counted: Proportion | None) -> str:
    """A proportion as ``36/57``, or ``not shown``."""
    return NOT_SHOWN if counted is None else f"{counted.successes}/{counted.n}"


def percent(counted: Proportion | None) -> str:
    """A percentage with its 95 % interval: ``63.2 % (50.2 to 74.5)``."""
    if counted is None:
        return NOT_SHOWN
    if counted.share is None or counted.lower is None or counted.upper is None:
        return NONE
    low, high = 100 * counted.lower, 100 * counted.upper
    return f"{100 * counted.share:.1f} % ({low:.1f} to {high:.1f})"


def percent_alone(counted: Proportion | None) -> str:
    """A percentage without its interval: ``63.2 %``."""
    if counted is None:
        return NOT_SHOWN
    return NONE if counted.share is None else f"{100 * counted.share:.1f} %"


def interval(counted: Proportion) -> str:
    """The 95 % interval of a proportion, in per cent: ``50.2 to 74.5``."""
    low, high = (
        NONE if one is None else f"{100 * one:.1f}" for one in (counted.lower, counted.upper)
    )
    return f"{low} to {high}"


def share(counted: Proportion | None) -> str:
    """A proportion as ``36 (63 %)``, or ``not shown``."""
    if counted is None:
        return NOT_SHOWN
    if counted.share is None:
        return NONE
    return f"{counted.successes} ({100 * counted.share:.0f} %)"


def months(days: float | None) -> str:
    """A time in days as months with one decimal."""
    return NONE if days is None else f"{days / MONTH:.1f}"


def median_follow_up(found: FollowUp) -> str:
    """The median follow-up in months."""
    return "not reached" if found.median is None else months(found.median)


def median_time(days: int | None, *, known: bool = True) -> str:
    """A median time in months; ``known``: whether it may be shown."""
    if not known:
        return NOT_SHOWN
    return "not reached" if days is None else f"{months(days)} months"


def median_months(values: Distribution | None) -> str:
    """The median and the quartiles of times in days, as months."""
    if values is None:
        return NOT_SHOWN
    if values.median is None:
        return NONE
    return f"{months(values.median)} ({months(values.q1)} to {months(values.q3)})"


def incidence(reading: IncidenceEstimate) -> str:
    """A reading of a cumulative incidence with its band: ``0.28 (0.18 to 0.42)``."""
    return _with_band(reading.share, reading.lower, reading.upper)


def complement(reading: Estimate) -> str:
    """One less a reading of a survival curve: ``0.28``."""
    return NONE if reading.survival is None else f"{1 - reading.survival:.2f}"


def median(values: Distribution | None) -> str:
    """The median and the quartiles: ``5 (2 to 9)``."""
    if values is None:
        return NOT_SHOWN
    if values.median is None:
        return NONE
    return f"{number(values.median)} ({number(values.q1)} to {number(values.q3)})"


def baseline(row: BaselineRow) -> str:
    """A characteristic: median and quartiles, or each level with its share."""
    if row.known is None:
        return NOT_SHOWN
    if not row.known:
        return NONE
    if row.levels:
        return "; ".join(f"{level.words}: {share(level.counted)}" for level in row.levels)
    return median(row.values)


def p(value: float | None) -> str:
    """A P value, or a dash if nothing could be tested."""
    return NONE if value is None else p_words(value)


def kappa(value: float | None) -> str:
    """Cohen's kappa, or a dash if it is not defined."""
    return NONE if value is None else f"{value:.2f}"


def hazard(found: HazardRatio) -> str:
    """A hazard ratio with its interval: ``1.42 (0.80 to 2.51)``."""
    return f"{found.ratio:.2f} ({found.lower:.2f} to {found.upper:.2f})"


def tested(paired: Paired | None) -> str:
    """The P value, ``not shown``, or a dash if nothing could be tested."""
    if paired is None or (paired.p is None and paired.changed):
        return NOT_SHOWN
    return NONE if paired.p is None else p_words(paired.p)


def effect(paired: Paired | None) -> str:
    """The effect size, ``not shown``, or a dash if there is none."""
    if paired is None or (paired.effect is None and paired.changed):
        return NOT_SHOWN
    return NONE if paired.effect is None else f"{paired.effect:.2f}"


def survival(reading: Estimate) -> str:
    """A reading of a survival curve with its band: ``0.72 (0.58 to 0.82)``."""
    return _with_band(reading.survival, reading.lower, reading.upper)


def _with_band(share: float | None, lower: float | None, upper: float | None) -> str:
    if share is None:
        return NONE
    if lower is None or upper is None:
        return f"{share:.2f}"
    return f"{share:.2f} ({lower:.2f} to {upper:.2f})"


def with_range(found: Distribution | None) -> str:
    """A median with the least and the greatest value: ``12 (3 to 60)``."""
    if found is None or found.median is None:
        return NONE
    return f"{number(found.median)} ({number(found.minimum)} to {number(found.maximum)})"
