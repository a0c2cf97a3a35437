"""The FHIR MeasureReport of a cohort: disease-free at the landmark, of the patients known.

Its numbers are those of the report. Those that an aggregate does not show are absent with the
reason ``masked``. Source: https://hl7.org/fhir/R4/measurereport.html
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple

from fhircryo.publish.measure import (
    Population,
    Resource,
    Stratifier,
    measure_id,
    measure_url,
    population_code,
    stratifier_code,
)
from fhircryo.research.analysis import Analysis
from fhircryo.research.columns import NO, YES
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.statistics.suppress import is_small
from fhircryo.research.table_options import Between
from fhircryo.runs.run_config import RunConfig

#: How many patients of a year of treatment are disease-free (``YES``), are not (``NO``), or are
#: not evaluable for a reason, by (year, answer or reason).
DiseaseFreeByYear = Mapping[tuple[int, str], int]

_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_UCUM = "http://unitsofmeasure.org"
_OTHER_YEARS = "other years"
#: Decimals of a score, which is a share.
_DECIMALS = 4


def measure_report(
    shown: Analysis,
    by_year: DiseaseFreeByYear,
    threshold: int,
    between: Between,
    config: RunConfig,
) -> Resource:
    """The MeasureReport of a cohort.

    ``shown``: for an aggregate, the analysis without small groups. ``by_year``: empty for an
    aggregate, which tells neither years nor reasons. ``threshold``: no part of a year that is told
    is smaller, because the year of a row could be read from it; 1 where the rows have dates.
    ``between``: the index dates of the cohort.
    """
    protocol, base = config.protocol, config.settings.base
    rate = next(one for one in shown.disease_free if one.in_protocol)
    # Where the source lacks a type of resource, only those who are not disease-free are known.
    hidden = "masked" if rate.estimable else "unknown"
    group = _counted(shown.flow.cohort, rate.rate, hidden) | {
        "stratifier": _stratifiers(by_year, threshold, base, estimable=rate.estimable)
    }
    return {
        "resourceType": "MeasureReport",
        "id": measure_id(protocol),
        "status": "complete",
        "type": "summary",
        "measure": f"{measure_url(protocol, base)}|{protocol.version}",
        "date": config.as_of.isoformat(),
        "period": _period(shown, between, config),
        "improvementNotation": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/measure-improvement-notation",
                    "code": "increase",
                }
            ]
        },
        "group": [{name: value for name, value in group.items() if value}],
    }


def _period(shown: Analysis, between: Between, config: RunConfig) -> dict[str, str]:
    """From the first index date, as far as it is told, to the data cut-off."""
    period = {"end": config.as_of.isoformat()}
    if between.first is not None:
        return {"start": between.first.isoformat(), **period}
    if shown.flow.index_years is not None:
        return {"start": str(shown.flow.index_years[0]), **period}
    return period


def _counted(patients: int | None, rate: Proportion | None, hidden: str) -> dict[str, Any]:
    """The populations of a group and its score.

    ``patients``: of the cohort; ``rate``: disease-free, of those known; None if it may not be
    shown. ``hidden``: why a number is absent.
    """
    excluded = None if patients is None or rate is None else patients - rate.n
    counts = {
        Population.INITIAL: patients,
        Population.DENOMINATOR: patients,
        Population.EXCLUDED: excluded,
        Population.NUMERATOR: None if rate is None else rate.successes,
    }
    populations = [_population(one, count, hidden) for one, count in counts.items()]
    return {"population": populations, "measureScore": _score(rate)}


def _population(population: Population, count: int | None, hidden: str) -> Resource:
    found: Resource = {"code": population_code(population)}
    if count is None:
        return found | {"_count": {"extension": [{"url": _ABSENT, "valueCode": hidden}]}}
    return found | {"count": count}


def _score(rate: Proportion | None) -> dict[str, Any] | None:
    """The share of a rate; None if it is not shown, or of nobody."""
    if rate is None or not rate.n:
        return None
    value = round(rate.successes / rate.n, _DECIMALS)
    return {"value": value, "unit": "1", "system": _UCUM, "code": "1"}


def _stratifiers(
    by_year: DiseaseFreeByYear, threshold: int, base: str, *, estimable: bool
) -> list[Resource]:
    """By year of treatment, and by the reason why patients are not evaluable."""
    found = []
    years = [
        {"value": {"text": name}} | _of_years(parts, estimable=estimable)
        for name, parts in _told_years(by_year, threshold).items()
    ]
    if years:
        found.append({"code": [stratifier_code(Stratifier.YEAR)], "stratum": years})
    reasons = sorted({answer for _, answer in by_year if answer not in (YES, NO)})
    if reasons:
        strata = [_of_reason(by_year, reason, base) for reason in reasons]
        found.append({"code": [stratifier_code(Stratifier.REASON)], "stratum": strata})
    return found


class _Parts(NamedTuple):
    """The patients of a year, or of several: disease-free, not disease-free, not evaluable."""

    yes: int = 0
    no: int = 0
    excluded: int = 0

    def plus(self, other: "_Parts") -> "_Parts":
        return _Parts(*map(sum, zip(self, other, strict=True)))


def _told_years(by_year: DiseaseFreeByYear, threshold: int) -> dict[str, _Parts]:
    """The years that may be told by name; the others are pooled.

    Of every year, and of those pooled, each part is empty or not small. Empty if that cannot be.
    While it is not so, a year is pooled that makes it so, or else the smallest.
    """
    years: dict[int, _Parts] = {}
    for (year, answer), count in by_year.items():
        part = {YES: _Parts(yes=count), NO: _Parts(no=count)}.get(answer, _Parts(excluded=count))
        years[year] = years.get(year, _Parts()).plus(part)

    def small(parts: _Parts) -> bool:
        return any(is_small(count, threshold) for count in parts)

    told = sorted((year for year in years if not small(years[year])), key=lambda y: sum(years[y]))
    pooled = [year for year in years if small(years[year])]

    def together(*more: int) -> _Parts:
        return reduce(_Parts.plus, (years[year] for year in (*pooled, *more)), _Parts())

    while told and small(together()):
        enough = [year for year in told if not small(together(year))]
        pooled.append((enough or told)[0])
        told.remove(pooled[-1])
    found = {str(year): years[year] for year in sorted(told)}
    return found | {_OTHER_YEARS: together()} if found and pooled else found


def _of_years(parts: _Parts, *, estimable: bool) -> dict[str, Any]:
    rate = proportion(parts.yes, parts.yes + parts.no) if estimable else None
    counted = _counted(sum(parts), rate, "unknown")
    return {name: value for name, value in counted.items() if value}


def _of_reason(by_year: DiseaseFreeByYear, reason: str, base: str) -> Resource:
    count = sum(count for (_, answer), count in by_year.items() if answer == reason)
    coding = {"system": f"{base}/CodeSystem/reason", "code": reason}
    return {
        "value": {"coding": [coding]},
        "population": [_population(Population.EXCLUDED, count, "")],
    }
