"""Numbers in the style of a journal."""

from fhircryo.research.flow import NOT_SHOWN
from fhircryo.research.results_table import p_words
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.kaplan_meier import Estimate
from fhircryo.research.statistics.paired import Paired
from fhircryo.research.statistics.proportions import Proportion

#: Shown in place of a value that does not exist.
NONE = "–"


def number(value: float | None, decimals: int = 1) -> str:
    """A number with at most this number of decimals."""
    if value is None:
        return NONE
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


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


def share(counted: Proportion | None) -> str:
    """A proportion as ``36 (63 %)``, or ``not shown``."""
    if counted is None:
        return NOT_SHOWN
    if counted.share is None:
        return NONE
    return f"{counted.successes} ({100 * counted.share:.0f} %)"


def median_time(days: int | None, *, known: bool = True) -> str:
    """A median time in days; ``known``: whether it may be shown."""
    if not known:
        return NOT_SHOWN
    return "not reached" if days is None else f"{days} days"


def median(values: Distribution | None) -> str:
    """The median and the quartiles: ``5 (2 to 9)``."""
    if values is None:
        return NOT_SHOWN
    if values.median is None:
        return NONE
    return f"{number(values.median)} ({number(values.q1)} to {number(values.q3)})"


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
    if reading.survival is None:
        return NONE
    if reading.lower is None or reading.upper is None:
        return f"{reading.survival:.2f}"
    return f"{reading.survival:.2f} ({reading.lower:.2f} to {reading.upper:.2f})"
