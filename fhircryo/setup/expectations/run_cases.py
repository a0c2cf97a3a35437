"""Computes cases, and compares what was published with what is expected."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from fhircryo.errors import UsageError
from fhircryo.record.items import Reason
from fhircryo.runs.in_memory import Outcome, outcome_of, read_resources
from fhircryo.runs.read_source import ReadResult, read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from fhircryo.setup.expectations.baseline_words import compare_characteristics
from fhircryo.setup.expectations.case import Case
from fhircryo.setup.expectations.case_file import CaseFile, read_cases
from fhircryo.setup.expectations.fhir_values import BASE
from fhircryo.setup.expectations.published_words import (
    Compared,
    compare_reasons,
    compare_results,
    other_results,
)
from fhircryo.sources.places import server_of

#: What is counted of the resources of somebody else that every case without source has.
_OTHERS = {
    (Reason.NOT_IN_COHORT, "AdverseEvent", "(no code)"),
    (Reason.UNMAPPED_CODE, "Condition", "(no code)"),
    (Reason.UNMAPPED_CODE, "MedicationRequest", "(no code)"),
}


@dataclass(frozen=True)
class Mismatch:
    """A result that is not the expected one: of an endpoint, a characteristic or a resource."""

    name: str
    expected: str
    found: str


@dataclass(frozen=True)
class CheckedCase:
    """What became of a case.

    ``place``: ``file:line``. ``not_used``: why resources are not used: ``Type/id: reason
    (detail)``, or how many of a code. ``unreadable``: how many resources were unreadable.
    """

    case: Case
    mismatches: tuple[Mismatch, ...]
    not_used: tuple[str, ...]
    unreadable: int
    place: str = ""


@dataclass
class CaseRunner:
    """Runs cases with the same mappings, protocol and settings.

    ``folder``: what the source of a case is relative to.
    """

    config: RunConfig
    folder: Path
    _read: dict[str, ReadResult] = field(default_factory=dict)

    def check(self, case: Case) -> CheckedCase:
        """Compute a case and compare.

        Raises:
            UsageError: a line or an expectation cannot be read.
            SourceError: the source of the case cannot be read.
        """
        config = replace(self.config, as_of=case.cut_off)
        read = self._source(case, config)
        outcome = outcome_of(read, config)
        compared = [
            compare_results(outcome, case.expect, case.subject),
            compare_characteristics(read, config, case),
            compare_reasons(outcome, case.reasons),
        ]
        if case.complete:
            compared.append(other_results(outcome, case.expect, case.subject))
        mismatches = tuple(one for pair in compared for one in _mismatches(*pair))
        not_used = tuple(_not_used(outcome, of_source=case.source is not None))
        return CheckedCase(case, mismatches, not_used, _unreadable(outcome))

    def _source(self, case: Case, config: RunConfig) -> ReadResult:
        if case.source is None:
            return read_resources(case.in_source(), config)
        place = server_of(case.source) or str(self.folder / case.source)
        if place not in self._read:
            self._read[place] = read_source(place, config)
        return self._read[place]


def _mismatches(expected: Compared, found: Compared) -> Iterator[Mismatch]:
    for name, words in expected.items():
        if found[name] != words:
            yield Mismatch(name, words, found[name])


def _not_used(outcome: Outcome, *, of_source: bool) -> Iterator[str]:
    for issue in outcome.issues:
        if not issue.used:
            detail = f" ({issue.detail})" if issue.detail else ""
            yield f"{issue.name}: {issue.reason}{detail}"
    for (reason, kind, code), count in sorted(outcome.counted.items()):
        shown = count - (not of_source and (reason, kind, code) in _OTHERS)
        if shown:
            yield f"{shown} x {kind}: {reason} {code}".rstrip()


def _unreadable(outcome: Outcome) -> int:
    return sum(issue.reason == Reason.UNREADABLE for issue in outcome.issues)


def runner_of(settings: Settings, folder: Path) -> CaseRunner:
    """What runs the cases of a file in ``folder`` with a site's settings.

    Cases are computed with our own canonical URLs, whatever those of the site are.

    Raises:
        UsageError: a mapping or protocol is wrong.
    """
    return CaseRunner(RunConfig.of(settings.model_copy(update={"base": BASE}), date.max), folder)


def checked_cases(runner: CaseRunner, file: Path, only: Collection[str]) -> Iterator[CheckedCase]:
    """Check the cases of a file one by one; ``only``: the ids of those to check, all if empty.

    Raises:
        UsageError: the file is not valid, or a line or an expectation cannot be read.
        SourceError: the source of a case cannot be read.
    """
    cases = read_cases(file, CaseFile[Case])
    for number, case in enumerate(cases.content.cases):
        if only and case.id not in only:
            continue
        try:
            yield replace(runner.check(case), place=cases.place(number))
        except UsageError as error:
            raise UsageError(f"{cases.place(number)}: {case.id}: {error}") from error
