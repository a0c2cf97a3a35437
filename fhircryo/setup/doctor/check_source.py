"""Checks whether a FHIR server can be read as a source: parameters, types, pages, times, codes."""

from collections.abc import Iterator

import msgspec

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.search import Sample, Searcher
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.doctor.check import FORBIDDEN, CheckResult, failed, ok, warning
from fhircryo.setup.doctor.check_increments import increment_checks
from fhircryo.setup.doctor.check_searches import SearchTrials
from fhircryo.setup.doctor.check_server import server_checks
from fhircryo.sources.code_searches import (
    WITHOUT_COMPONENTS,
    ComponentSearch,
    code_searches,
    component_search,
    observation_searches,
    stated_component_search,
)
from fhircryo.sources.resource_types import (
    INDEX_CONCEPTS,
    MEDICATION,
    RESOURCE_TYPES,
    LackedEvidence,
    lacked_types,
    optional_types,
)

_PART = "source"


class _Observed(msgspec.Struct, rename="camel"):
    effective_date_time: str | None = None
    issued: str | None = None


def source_checks(client: Client, config: RunConfig) -> Iterator[CheckResult]:
    """Check a server as SOURCE."""
    known = yield from server_checks(client, _PART, SourceError.exit_code)
    if known is None:
        return
    searcher = Searcher(client)
    try:
        yield from SearchTrials(searcher, known, config.mappings).results()
        yield from _TrialSearches(client, searcher, config, known).results()
    finally:
        searcher.close()


class _TrialSearches:
    """Checks by a few searches, because a CapabilityStatement only promises what it states."""

    def __init__(
        self, client: Client, searcher: Searcher, config: RunConfig, can: Capabilities
    ) -> None:
        self._client = client
        self._searcher = searcher
        self._config = config
        self._can = can

    def results(self) -> Iterator[CheckResult]:
        yield self._cohort()
        yield from self._psa()
        for kind in RESOURCE_TYPES:
            if kind.optional and kind.lacked is not LackedEvidence.MEDICATIONS:
                yield self._holds((kind.name,))
        yield self._medications()
        yield from increment_checks(self._client, self._searcher, self._can, self._config.mappings)
        yield from self._withheld()

    def _withheld(self) -> Iterator[CheckResult]:
        """Report the types of which the server says that it withholds results."""
        for kind, words in sorted(self._searcher.outcomes.withheld.items()):
            name, what = f"{kind} withheld", f"the server says: {words}"
            advice = "ask the server's team for permission to read all of it"
            if kind in optional_types() or kind == MEDICATION:
                yield warning(_PART, name, what, f"{advice}; until then the type is lacking")
            else:
                yield failed(_PART, name, what, f"{advice}, or use --accept-withheld")

    def _medications(self) -> CheckResult:
        """Check whether medications are kept: one of the types is enough, as for a run."""
        return self._holds(tuple(lacked_types()[LackedEvidence.MEDICATIONS]))

    def _cohort(self) -> CheckResult:
        searches = code_searches(self._config.mappings, INDEX_CONCEPTS)
        try:
            found = any(self._searcher.any("Procedure", one) for one in searches)
        except SourceError as error:
            advice = "name the patients: --patients FILE or Group/ID"
            return self._refused("index procedures", error, advice)
        if found:
            return ok(_PART, "index procedures", "found by their codes")
        return warning(
            _PART,
            "index procedures",
            "no procedure has a mapped code: the cohort would be empty",
            "run fhircryo mappings survey to see the codes in the source",
        )

    def _psa(self) -> Iterator[CheckResult]:
        """Check one page of PSA results: whether there are any, the page size, the time zone."""
        requested = self._client.connection.page_size
        try:
            how = component_search(self._can, self._searcher, self._config.mappings, {})
            sample = self._psa_sample(how)
        except SourceError as error:
            yield self._refused(
                "PSA results", error, "the server may give results only for one patient at a time"
            )
            return
        if how is not stated_component_search(self._can):
            yield self._components(how)
        page = sample.lines
        if not page:
            yield warning(
                _PART,
                "PSA results",
                "no result has a mapped code",
                "run fhircryo mappings survey to see the codes in the source",
            )
            return
        yield ok(_PART, "PSA results", "found by their codes")
        if not sample.whole:
            yield ok(_PART, "page size", f"{len(page)} of {requested} requested")
        else:
            yield ok(_PART, "page size", f"all {len(page)} PSA results fit on one page")
        yield self._times(page)

    def _psa_sample(self, how: ComponentSearch) -> Sample:
        """The first page of the first search that finds a PSA result; else an empty one."""
        searches = observation_searches(self._config.mappings, how, ("psa",))
        samples = (self._searcher.sample("Observation", one, 1) for one in searches)
        return next((one for one in samples if one.lines), Sample([], 0, None, True))

    def _components(self, how: ComponentSearch) -> CheckResult:
        """Report that a parameter for the codes of components is listed, but refused."""
        name = "codes of components"
        if how is ComponentSearch.SEPARATE:
            return ok(_PART, name, "combo-code is refused; component-code is used")
        return warning(_PART, name, "cannot be searched: refused", WITHOUT_COMPONENTS)

    def _times(self, page: list[bytes]) -> CheckResult:
        written = [msgspec.json.decode(line, type=_Observed).effective_date_time for line in page]
        times = [one for one in written if one and "T" in one]
        utc = sum(one.endswith(("Z", "+00:00")) for one in times)
        if utc and utc == len(times) and not self._config.settings.timezone:
            return warning(
                _PART,
                "times",
                f"all {utc} times on a page are in UTC: near midnight the local date may differ",
                "set timezone to the hospital's time zone, for example Europe/Amsterdam",
            )
        return ok(
            _PART, "times", f"{len(times)} results on a page state a time, {utc} of them in UTC"
        )

    def _holds(self, kinds: tuple[str, ...]) -> CheckResult:
        """Check whether the source holds any resource of one of the types."""
        name = _kept(kinds)
        try:
            if any(self._searcher.any(kind, {}) for kind in kinds):
                return ok(_PART, name, "the source holds some")
        except SourceError as error:
            if not isinstance(error, HttpError) or error.status == 401:
                return self._refused(name, error)
            return warning(
                _PART,
                name,
                f"could not be checked: {error}",
                "if no patient of the cohort has any, endpoints that need this type are absent"
                " (source-lacks-type), unless the setting complete_types names it",
            )
        return warning(
            _PART,
            name,
            "the source holds none: endpoints that need this type are absent (source-lacks-type)",
            "export or allow the type; if it is recorded and nothing of the kind happened, add it"
            " to the setting complete_types",
        )

    def _refused(self, name: str, error: SourceError, advice: str = "") -> CheckResult:
        """A forbidden search is a failure; one that is rejected for another reason is a warning.

        An answer that is no FHIR, or none at all, is one with which a run would end.
        """
        if not isinstance(error, HttpError):
            return failed(_PART, name, str(error), "a run would end with this error")
        if error.status in FORBIDDEN:
            return failed(_PART, name, str(error), "check the credentials, scopes and rights")
        return warning(_PART, name, str(error), advice)


def _kept(kinds: tuple[str, ...]) -> str:
    """The name of the check whether types are kept."""
    return f"{' or '.join(kinds)} kept"
