"""A protocol: every number that the computation of endpoints uses."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from fhircryo.mapping.schema import (
    Key,
    Text,
)
from fhircryo.mapping.yamlfile import Number, StrictModel

Days = Annotated[int, Field(ge=0, strict=True)]
Months = Annotated[int, Field(ge=0, strict=True)]

BASELINE = "baseline"

#: The effect of salvage therapy on the endpoints that rest on PSA: an event and the end of the PSA
#: series (``event``), only the end of the series (``censor``), or a component (``report``).
SalvageRule = Literal["report", "event", "censor"]


class IndexRules(StrictModel):
    """The index treatment: candidates dated D0 .. D0 + ``treatment_days``."""

    treatment_days: Days


class PsaRules(StrictModel):
    """Rules for PSA results.

    ``baseline_days``: the baseline window is D0 - ``baseline_days`` .. D0. ``first_days``: the
    series begins on D0 + so many days, and never on D0 itself. ``detection_limit``: the value that
    an undetectable result stands for where it is compared with later results: its limit, half of
    it, or zero. ``nadir_limit_max``: a ``<`` result with a limit up to this (ng/mL) is
    undetectable. ``nadir_reported``: reports tell how many patients have a nadir up to each of
    these (ng/mL).
    """

    baseline_days: Days
    first_days: Days
    detection_limit: Literal["limit", "half", "zero"]
    nadir_limit_max: Annotated[Number, Field(ge=0)]
    nadir_reported: tuple[Annotated[Number, Field(ge=0)], ...] = ()


class BiochemicalFailureRules(StrictModel):
    """Failure at nadir + ``rise`` ng/mL; ``definition``: the name of this definition.

    ``confirm_days``: a failing result counts only if a result at least so many days later is at or
    above the same threshold (None: no confirmation is needed).
    """

    definition: Literal["phoenix", "stuttgart"]
    rise: Annotated[Number, Field(gt=0)]
    confirm_days: Annotated[int | None, Field(ge=1, strict=True)] = None


class RecurrenceRules(StrictModel):
    """The indication for treatment.

    A local recurrence without an onset, recorded up to D0 + ``indication_days``, is the indication
    and not an event.
    """

    indication_days: Days


class DiseaseFreeRules(StrictModel):
    """The landmark in months after D0.

    ``psa_months_before``: a clear PSA must be dated no more than so many months before it.
    ``no_response``: a PSA that never fell below the baseline leaves disease-free and disease-free
    survival without a value (``absent``), or has no effect (``ignore``).
    """

    landmark_months: Annotated[int, Field(ge=1, strict=True)]
    psa_months_before: Months
    no_response: Literal["absent", "ignore"]


class SurvivalRules(StrictModel):
    """Rules for times to an event.

    ``death_gap_months``: a death later than so many months after the censoring day is no event.
    ``repeat_is_failure``: a repeat cryoablation is a failure in failure-free survival.
    """

    death_gap_months: Months
    repeat_is_failure: Annotated[bool, Field(strict=True)]


class HormoneTherapyRules(StrictModel):
    """Hormone therapy at index and its continuation.

    ``continuation_days``: hormone therapy up to so many days before D0 is therapy at index, and
    later therapy continues it while no gap is longer than this.
    """

    continuation_days: Days


class DoublingTimeRules(StrictModel):
    """The PSA doubling time before D0 (PSA Working Group: Arlen et al., J Urol 2008).

    ``days_before``: results of D0 - so many days .. D0. ``minimum_results``: at least so many.
    ``minimum_days``: from the first to the last at least so many days. ``days_per_month``: the
    length of a month.
    """

    days_before: Days
    minimum_results: Annotated[int, Field(ge=2, strict=True)]
    minimum_days: Annotated[int, Field(ge=1, strict=True)]
    days_per_month: Annotated[Number, Field(gt=0)]


class ComplicationRules(StrictModel):
    """Rules for complications.

    ``window_days``: an event without a suspect is attributed up to D0 + so many days.
    ``major``: the mildest major grade, by scale. ``ungraded_means_minor``: an attributed event
    without a grade of the scale counts as minor.
    """

    window_days: Annotated[int, Field(ge=1, strict=True)]
    major: dict[Key, Text]
    ungraded_means_minor: Annotated[bool, Field(strict=True)]


class TimePoint(StrictModel):
    """The window of a questionnaire.

    Either ``days_before``: days before D0 (the baseline); or ``target``, ``from`` and ``to``:
    months after D0.
    """

    days_before: Days | None = None
    target: Months | None = None
    from_: Annotated[Months | None, Field(alias="from")] = None
    to: Months | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        after = (self.target, self.from_, self.to)
        if self.days_before is not None:
            if any(value is not None for value in after):
                raise ValueError("give either days_before, or target, from and to")
        elif self.target is None or self.from_ is None or self.to is None:
            raise ValueError("target, from and to are all needed")
        elif not self.from_ <= self.target <= self.to:
            raise ValueError("from <= target <= to is required")
        elif self.from_ < 1:
            raise ValueError("a window after D0 must begin at one month or later")
        return self


class PublishedFigure(StrictModel):
    """A figure of the source publication, shown beside the computed figure."""

    row: Literal[
        "patients",
        "technical-success",
        "major-clavien",
        "major-sir",
        "metastasis-within",
        "disease-free",
        "not-evaluable",
        "prom-change",
    ]
    figure: Text
    decimals: Annotated[int, Field(ge=0, le=2)] = 0
    months: Months | None = None
    instrument: Key | None = None
    time_point: Text | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.row == "metastasis-within" and self.months is None:
            raise ValueError("metastasis-within needs months")
        if self.row == "prom-change" and (self.instrument is None or self.time_point is None):
            raise ValueError("prom-change needs instrument and time_point")
        return self


class Protocol(StrictModel):
    """The numbers of a follow-up protocol, named as in the endpoint definitions."""

    id: Key
    version: Text
    title: Text
    source: Text
    index: IndexRules
    psa: PsaRules
    biochemical_failure: BiochemicalFailureRules
    recurrence: RecurrenceRules
    disease_free: DiseaseFreeRules
    survival: SurvivalRules
    hormone_therapy: HormoneTherapyRules
    doubling_time: DoublingTimeRules
    complications: ComplicationRules
    time_points: dict[Key, TimePoint]
    salvage_therapy: SalvageRule
    published: tuple[PublishedFigure, ...] = ()

    @field_validator("time_points")
    @classmethod
    def _windows_do_not_overlap(cls, points: dict[str, TimePoint]) -> dict[str, TimePoint]:
        baseline = points.get(BASELINE)
        if baseline is None or baseline.days_before is None:
            raise ValueError(f"the time point {BASELINE} with days_before is required")
        windows = sorted(
            (point.from_, point.to, name)
            for name, point in points.items()
            if point.from_ is not None and point.to is not None
        )
        if len(windows) + 1 != len(points):
            raise ValueError(f"only {BASELINE} may have days_before")
        for (_, end, name), (start, _, other) in pairwise(windows):
            if start <= end:
                raise ValueError(f"the windows of {name} and {other} overlap")
        return points

    @property
    def name(self) -> str:
        """The id and version, as published with every endpoint."""
        return f"{self.id} {self.version}"
