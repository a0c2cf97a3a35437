"""PSA results in order of time, of which one counts for each moment."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from fhircryo.calendar import moment
from fhircryo.record.items import PsaResult


def by_moment(results: Iterable[PsaResult]) -> Iterator[tuple[PsaResult, list[PsaResult]]]:
    """The result that counts for each date and time, in order of time, and those it supersedes."""
    together: list[PsaResult] = []
    for result in sorted(results, key=lambda result: (*result.when.order, result.ref)):
        if together and together[0].when.order != result.when.order:
            yield _preferred(together)
            together = []
        together.append(result)
    if together:
        yield _preferred(together)


def _preferred(together: list[PsaResult]) -> tuple[PsaResult, list[PsaResult]]:
    if len(together) == 1:
        return together[0], []
    chosen = max(together, key=_precedence)
    return chosen, [result for result in together if result is not chosen]


def _precedence(result: PsaResult) -> tuple[int, bool, datetime, datetime, str]:
    return (
        -result.rank,
        result.problem is None,
        moment(result.issued),
        moment(result.updated),
        result.ref,
    )
