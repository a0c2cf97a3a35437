"""Tests of times to event between groups: log-rank, and Cox's model."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from fhircryo.research.statistics.proportions import LEVEL

if TYPE_CHECKING:
    import pandas as pd


#: How lifelines names the lower and the upper limit of a hazard ratio.
_LIMITS = ("exp(coef) lower", "exp(coef) upper")


class HazardRatio(msgspec.Struct, frozen=True):
    """The hazard ratio of a covariate. ``proportional``: P of the test that it is constant."""

    covariate: str
    ratio: float
    lower: float
    upper: float
    p: float
    proportional: float


class CoxModel(msgspec.Struct, frozen=True):
    """Cox's model; ``problem``: why there are no ratios, else empty."""

    patients: int
    events: int
    ratios: tuple[HazardRatio, ...]
    problem: str = ""


def log_rank(days: Sequence[int], events: Sequence[bool], groups: Sequence[str]) -> float | None:
    """P of the log-rank test; None where it cannot be made (one group, or no event)."""
    if len(set(groups)) < 2 or not any(events):
        return None
    from lifelines.statistics import multivariate_logrank_test

    found = multivariate_logrank_test(list(days), list(groups), list(events)).p_value
    return float(found) if found == found else None


def cox(
    days: Sequence[int], events: Sequence[bool], covariates: "pd.DataFrame", level: float = LEVEL
) -> CoxModel:
    """Cox's proportional hazards model by Efron's method for ties.

    ``covariates``: numbers, a row for each patient. The proportional hazards are tested by scaled
    Schoenfeld residuals over the ranks of the times (Grambsch and Therneau, Biometrika
    1994;81:515-26).
    """
    import numpy as np
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning
    from lifelines.statistics import proportional_hazard_test

    known = covariates.notna().all(axis=1).to_numpy()
    frame = covariates[known].astype(float).reset_index(drop=True)
    # An event on day 0 counts, so that no time is 0.
    frame["_days"] = np.asarray(days, dtype=float)[known] + 0.5
    frame["_event"] = np.asarray(events, dtype=bool)[known]
    happened = int(frame["_event"].sum())
    if not happened:
        return CoxModel(len(frame), 0, (), "no event")
    constant = [name for name in covariates if frame[name].nunique() < 2]
    if constant:
        return CoxModel(len(frame), happened, (), f"all have the same {constant[0]}")
    fitter = CoxPHFitter(alpha=1 - level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            fitter.fit(frame, "_days", "_event")
            checked = proportional_hazard_test(fitter, frame, time_transform="rank")
    except (ConvergenceError, ConvergenceWarning, np.linalg.LinAlgError):
        return CoxModel(len(frame), happened, (), "the model does not converge: too few events")
    summary = fitter.summary
    low, high = (
        next(name for name in summary.columns if str(name).startswith(limit)) for limit in _LIMITS
    )
    tested = dict(zip(checked.name, np.atleast_1d(checked.p_value), strict=True))
    ratios = tuple(
        HazardRatio(
            str(name),
            float(row["exp(coef)"]),
            float(row[low]),
            float(row[high]),
            float(row["p"]),
            float(tested[name]),
        )
        for name, row in summary.iterrows()
    )
    return CoxModel(len(frame), happened, ratios)
