"""Numbers as a journal prints them."""

from fhircryo.research.aggregate import NOT_SHOWN
from fhircryo.research.results_table import p_words
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.kaplan_meier import Estimate
from fhircryo.research.statistics.paired import Paired
from fhircryo.research.statistics.proportions import Proportion

NONE = "–"  # a dash, as tables have it


def number(value: float | None, decimals: int = 1) -> str:
    """A number with up to so many decimals."""
    if value is None:
        return NONE
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def count(value: int | None) -> str:
    """A count, or that it is not shown."""
    return NOT_SHOWN if value is None else str(value)


def proportion(one: Proportion | None) -> str:
    """``36/57``, or that it is not shown."""
    return NOT_SHOWN if one is None else f"{one.successes}/{one.n}"


def percent(one: Proportion | None) -> str:
    """``63.2 %`` with its 95 % interval."""
    if one is None:
        return NOT_SHOWN
    if one.share is None or one.lower is None or one.upper is None:
        return NONE
    low, high = 100 * one.lower, 100 * one.upper
    return f"{100 * one.share:.1f} % ({low:.1f} to {high:.1f})"


def median(one: Distribution | None) -> str:
    """``5 (2 to 9)``: the median and quartiles."""
    if one is None:
        return NOT_SHOWN
    if one.median is None:
        return NONE
    return f"{number(one.median)} ({number(one.q1)} to {number(one.q3)})"


def tested(one: Paired | None) -> str:
    """The P value, or why there is none."""
    if one is None:
        return NOT_SHOWN
    return NONE if one.p is None else p_words(one.p)


def effect(one: Paired | None) -> str:
    """The effect size."""
    if one is None:
        return NOT_SHOWN
    return NONE if one.effect is None else f"{one.effect:.2f}"


def survival(one: Estimate) -> str:
    """``0.72 (0.58 to 0.82)``."""
    if one.survival is None:
        return NONE
    if one.lower is None or one.upper is None:
        return f"{one.survival:.2f}"
    return f"{one.survival:.2f} ({one.lower:.2f} to {one.upper:.2f})"
