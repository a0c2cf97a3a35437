"""A protocol: every number that the endpoints are computed with."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fhircryo.mapping.schema import Key, Text
from fhircryo.mapping.yamlfile import Written

Days = Annotated[int, Field(ge=0, strict=True)]
Months = Annotated[int, Field(ge=0, strict=True)]

BASELINE = "baseline"

#: What salvage therapy does to endpoints: a mark, a failure, or the end of the PSA series.
SalvageRule = Literal["report", "event", "censor"]


def _a_number(value: Any) -> Any:
    """YAML's yes and no are no numbers."""
    if isinstance(value, bool):
        raise ValueError("a number is needed")  # noqa: TRY004  # pydantic shows a ValueError
    return value


class Index(Written):
    """Candidates dated D0 .. D0 + ``treatment_days`` are the index treatment."""

    treatment_days: Days


class Psa(Written):
    """Baseline window in days before D0; how a result below detection counts; ng/mL."""

    baseline_days: Days
    detection_limit: Literal["limit", "half", "zero"]
    nadir_limit_max: Annotated[Decimal, BeforeValidator(_a_number), Field(ge=0)]


class BiochemicalFailure(Written):
    """Failure at nadir + ``rise`` ng/mL; ``definition`` is what that is called."""

    definition: Literal["phoenix", "stuttgart"]
    rise: Annotated[Decimal, BeforeValidator(_a_number), Field(gt=0)]


class Recurrence(Written):
    """A local recurrence recorded up to D0 + ``indication_days`` is the indication."""

    indication_days: Days


class DiseaseFree(Written):
    """Landmark in months; how many months before it a clear PSA may lie."""

    landmark_months: Annotated[int, Field(ge=1, strict=True)]
    psa_months_before: Months


class Complications(Written):
    """Window in months; from which grade on a complication is major, by scale."""

    window_months: Annotated[int, Field(ge=1, strict=True)]
    major: dict[Key, Text]
    ungraded_means_minor: Annotated[bool, Field(strict=True)]


class TimePoint(Written):
    """Either ``days_before`` D0 (the baseline), or months after D0 with their window."""

    days_before: Days | None = None
    target: Months | None = None
    from_: Annotated[Months | None, Field(alias="from")] = None
    to: Months | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        after = (self.target, self.from_, self.to)
        if self.days_before is not None:
            if any(value is not None for value in after):
                raise ValueError("either days_before, or target, from and to")
        elif self.target is None or self.from_ is None or self.to is None:
            raise ValueError("target, from and to are all needed")
        elif not self.from_ <= self.target <= self.to:
            raise ValueError("from <= target <= to does not hold")
        elif self.from_ < 1:
            raise ValueError("a window after D0 begins at one month or later")
        return self


class Published(Written):
    """A figure of the source publication, to stand beside ours."""

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


class Protocol(Written):
    """The numbers of a follow-up protocol; the words are those of the endpoint definitions."""

    id: Key
    version: Text
    title: Text
    source: Text
    index: Index
    psa: Psa
    biochemical_failure: BiochemicalFailure
    recurrence: Recurrence
    disease_free: DiseaseFree
    complications: Complications
    time_points: dict[Key, TimePoint]
    salvage_therapy: SalvageRule
    published: tuple[Published, ...] = ()

    @field_validator("time_points")
    @classmethod
    def _windows_do_not_overlap(cls, points: dict[str, TimePoint]) -> dict[str, TimePoint]:
        baseline = points.get(BASELINE)
        if baseline is None or baseline.days_before is None:
            raise ValueError(f"{BASELINE} with days_before is needed")
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
        """What published endpoints name: id and version."""
        return f"{self.id} {self.version}"
