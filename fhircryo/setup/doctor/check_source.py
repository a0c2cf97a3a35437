"""Whether a FHIR server can be read as a source: parameters, types, pages, times, codes."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from fhircryo.errors import SourceError
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.search import Searcher
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.doctor.check import Finding, failed, ok, warning
from fhircryo.setup.doctor.check_server import Reached
from fhircryo.sources.code_searches import code_searches
from fhircryo.sources.resource_types import INDEX_CONCEPTS, RESOURCE_TYPES

_PART = "source"
_NO_RIGHT = frozenset({401, 403})


class RequiredSearch(NamedTuple):
    """A search that a run makes.

    ``parameters``: any one of them is enough. ``without``: what happens where none is supported.
    ``required``: nothing can be computed without it.
    """

    kind: str
    parameters: tuple[str, ...]
    without: str
    required: bool = False


REQUIRED_SEARCHES = (
    RequiredSearch("Procedure", ("code",), "name the patients: --patients FILE or Group/ID"),
    RequiredSearch("Patient", ("_id",), "patients cannot be read", required=True),
    RequiredSearch("Patient", ("link",), "patients who were merged are not recognised"),
    RequiredSearch("Observation", ("code",), "PSA results cannot be read", required=True),
    *(
        RequiredSearch(one.name, one.patient_parameters, one.without, required=not one.optional)
        for one in RESOURCE_TYPES
        if one.by_patient
    ),
    RequiredSearch("Medication", ("_id",), "therapies that only name a Medication are not seen"),
)


class _Observed(msgspec.Struct, rename="camel"):
    effective_date_time: str | None = None
    issued: str | None = None


def look_at_source(client: Client, job: RunConfig) -> Iterator[Finding]:
    """The checks of a server as SOURCE."""
    reached = Reached(client, _PART, SourceError.exit_code)
    yield from reached.look()
    known = reached.known
    if known is None:
        return
    for needed in REQUIRED_SEARCHES:
        name = f"{needed.kind}?{'|'.join(needed.parameters)}"
        if any(known.searches(needed.kind, one) for one in needed.parameters):
            yield ok(_PART, name, "can be searched")
        elif needed.required:
            yield failed(_PART, name, "cannot be searched", needed.without)
        else:
            yield warning(_PART, name, "cannot be searched", needed.without)
    searcher = Searcher(client)
    try:
        yield from _Tried(client, searcher, job).look()
    finally:
        searcher.close()


class _Tried:
    """What statements only promise: a few searches, really made."""

    def __init__(self, client: Client, searcher: Searcher, job: RunConfig) -> None:
        self._client = client
        self._searcher = searcher
        self._job = job

    def look(self) -> Iterator[Finding]:
        yield self._cohort()
        yield from self._psa()
        for kind in RESOURCE_TYPES:
            if kind.optional:
                yield self._holds(kind.name)
        yield self._last_updated()

    def _cohort(self) -> Finding:
        searches = code_searches(self._job.mappings, INDEX_CONCEPTS)
        try:
            found = any(self._searcher.any("Procedure", one) for one in searches)
        except HttpError as error:
            advice = "name the patients: --patients FILE or Group/ID"
            return self._refused("index procedures", error, advice)
        if found:
            return ok(_PART, "index procedures", "found by their codes")
        return warning(
            _PART,
            "index procedures",
            "none has a code that is mapped: nobody would be in the cohort",
            "fhircryo mappings survey shows the codes that are there",
        )

    def _psa(self) -> Iterator[Finding]:
        """One page of PSA results: whether there are any, how long pages are, which times."""
        asked = self._client.connection.page_size
        by_code = code_searches(self._job.mappings, ("psa",))[0]
        try:
            sample = self._searcher.sample("Observation", by_code, 1)
        except HttpError as error:
            yield self._refused("PSA results", error, "perhaps it is given only of a patient")
            return
        page = sample.lines
        if not page:
            yield warning(
                _PART,
                "PSA results",
                "none has a code that is mapped",
                "fhircryo mappings survey shows the codes that are there",
            )
            return
        yield ok(_PART, "PSA results", "found by their codes")
        if not sample.whole:
            yield ok(_PART, "page size", f"{len(page)} of {asked} asked for")
        else:
            yield ok(_PART, "page size", f"all {len(page)} PSA results fit on one page")
        yield self._times(page)

    def _times(self, page: list[bytes]) -> Finding:
        written = [msgspec.json.decode(line, type=_Observed).effective_date_time for line in page]
        times = [one for one in written if one and "T" in one]
        utc = sum(one.endswith(("Z", "+00:00")) for one in times)
        if utc and utc == len(times) and not self._job.settings.timezone:
            return warning(
                _PART,
                "times",
                f"all {utc} of a page are in UTC: near midnight the day can be another",
                "set timezone to where the hospital is, for example Europe/Amsterdam",
            )
        return ok(_PART, "times", f"{len(times)} with a time on a page, {utc} of them in UTC")

    def _holds(self, kind: str) -> Finding:
        name = f"{kind} kept"
        try:
            if self._searcher.any(kind, {}):
                return ok(_PART, name, "there are some")
        except HttpError as error:
            if error.status == 401:
                return self._refused(name, error)
            return warning(
                _PART,
                name,
                f"cannot be told: {error}",
                "if no patient of the cohort has any, endpoints that need it are"
                " source-lacks-type; complete_types says that it is kept",
            )
        return warning(
            _PART,
            name,
            "there is not one: endpoints that need it are source-lacks-type",
            "export or allow the type; complete_types, if it is kept and nothing happened",
        )

    def _last_updated(self) -> Finding:
        try:
            self._searcher.any("Patient", {"_lastUpdated": "ge2000-01-01"})
        except HttpError as error:
            return warning(
                _PART,
                "_lastUpdated",
                f"not supported: {error}",
                "what changed cannot be asked for: each run reads the whole cohort",
            )
        return ok(_PART, "_lastUpdated", "supported")

    def _refused(self, name: str, error: HttpError, advice: str = "") -> Finding:
        """Refused to us is a failure; a search that is not taken may be made in another way."""
        if error.status in _NO_RIGHT:
            return failed(_PART, name, str(error), "check credentials, scopes and rights")
        return warning(_PART, name, str(error), advice)
