"""Surveys a source: a whole folder, or a sample of a server by a limited number of requests."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from fhircryo.errors import SourceError, UnreadableResource
from fhircryo.extract.context import Context
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import open_client
from fhircryo.fhir.dates import DateReader
from fhircryo.fhir.file_lines import FileLimits
from fhircryo.fhir.input_files import input_files, parts, read_batches
from fhircryo.fhir.search import Searcher
from fhircryo.fhir.unpack import resources
from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.load import Mappings, load_mappings
from fhircryo.runs.read_source import no_garbage_collection
from fhircryo.settings import Settings
from fhircryo.setup.survey.classify import classify
from fhircryo.setup.survey.count_resources import ResourceCounter
from fhircryo.setup.survey.suggestions import Suggester
from fhircryo.setup.survey.survey_json import SearchRow, Survey
from fhircryo.sources.folder_source import file_limits
from fhircryo.sources.places import server_of
from fhircryo.sources.resource_types import SURVEYED_TYPES

_PART_SIZE = 16 << 20
#: The newest come first, because an overlay is for what the site records today.
_NEWEST = {"_sort": "-_lastUpdated"}
_UNAUTHORISED = 401
_NOT_THERE = "not in its CapabilityStatement"

Progress = Callable[[int, int], None]


def survey(
    source: str,
    settings: Settings,
    pages: int,
    exclude: frozenset[str] = frozenset(),
    progress: Progress | None = None,
) -> Survey:
    """Return the survey of a source.

    ``pages``: the number of pages to read of each search, if the source is a server; ``exclude``:
    the ids of patients who objected.

    Raises:
        SourceError: the source does not exist, or cannot be read.
    """
    mappings = load_mappings(settings.mappings, settings.base)
    suggester = Suggester(mappings)
    if server_of(source) is not None:
        with open_client(source, settings.source) as client:
            counter = ResourceCounter(_context(mappings, settings, client.base), suggester, exclude)
            searches = _Sampler(client, counter, suggester, pages, progress).read()
            found = classify(counter.counts, mappings, suggester, client.base)
            found.sample = True
            found.searches = searches
            found.requests = client.requests_made
            return found
    counter = ResourceCounter(_context(mappings, settings), suggester, exclude)
    with no_garbage_collection():
        passed_over, unreadable = _read_folder(
            Path(source), file_limits(settings.source), counter, progress
        )
    found = classify(counter.counts, mappings, suggester, source)
    found.passed_over = passed_over
    found.unreadable_in = unreadable
    return found


def _context(mappings: Mappings, settings: Settings, server: str = "") -> Context:
    dates = DateReader(settings.timezone)
    return Context(mappings, dates, test_data=settings.test_data, server=server)


def _read_folder(
    folder: Path, limits: FileLimits, counter: ResourceCounter, progress: Progress | None
) -> tuple[list[str], dict[str, str]]:
    """Count the resources of all files.

    Returns:
        The names of the files that are not read, and what could not be read by the file's name.
    """
    files, passed_over = input_files(folder, limits)
    to_read = parts(files, _PART_SIZE)
    numbers: Counter[str] = Counter()
    damaged: dict[str, str] = {}
    for number, part in enumerate(to_read, 1):
        name = part.file.name
        try:
            for batch in read_batches(part):
                numbers[name] += count_lines(batch, counter)
        except UnreadableResource as error:
            counter.counts.unreadable += 1
            damaged[name] = str(error)
        if progress is not None:
            progress(number, len(to_read))
    lines = {name: f"{number} lines or resources" for name, number in numbers.items() if number}
    return passed_over, {
        name: "; ".join(filter(None, (damaged.get(name), lines.get(name))))
        for name in sorted({*lines, *damaged})
    }


def count_lines(lines: Iterable[bytes], counter: ResourceCounter) -> int:
    """Count the resources of some lines; return the number of those that cannot be read."""
    before = counter.counts.unreadable
    for line in lines:
        for found in resources(line, counter.bundle):
            if found.error and line.strip():
                counter.counts.unreadable += 1
            elif not found.error:
                try:
                    counter.add(found.kind, found.resource)
                except (UnreadableResource, RecursionError):
                    counter.counts.unreadable += 1
    return counter.counts.unreadable - before


class _Sampler:
    """Reads a sample of a server: the newest of each type, and codes that contain a search word."""

    def __init__(
        self,
        client: Client,
        counter: ResourceCounter,
        suggester: Suggester,
        pages: int,
        progress: Progress | None,
    ) -> None:
        self._searcher = Searcher(client)
        self._client = client
        self._counter = counter
        self._suggester = suggester
        self._pages = pages
        self._progress = progress
        self._seen: set[bytes] = set()

    def read(self) -> list[SearchRow]:
        """Make every search once, and return what each returned.

        Raises:
            SourceError: the server cannot be reached, is not a FHIR server, or refuses every
                search.
        """
        try:
            known = capabilities(self._client)
            kinds = [kind for kind in SURVEYED_TYPES if not known.types or kind in known.types]
            rows = [
                SearchRow(kind, refused=_NOT_THERE) for kind in SURVEYED_TYPES if kind not in kinds
            ]
            searches = self._searches(kinds)
            for number, (kind, params) in enumerate(searches, 1):
                rows.append(self._search(kind, params))
                if self._progress is not None:
                    self._progress(number, len(searches))
            if all(row.refused for row in rows):
                raise SourceError(
                    f"{self._client.base}: every search was refused, so that there is nothing to"
                    f" survey; the last one: {rows[-1].asked}: {rows[-1].refused};"
                    " `fhircryo doctor` says more"
                )
            return rows
        finally:
            self._searcher.close()

    def _searches(self, kinds: list[str]) -> list[tuple[str, dict[str, str]]]:
        searches: list[tuple[str, dict[str, str]]] = [(kind, dict(_NEWEST)) for kind in kinds]
        words = self._suggester.words
        texts = {key: ("Observation", one.search) for key, one in words.instruments.items()}
        for key, one in words.concepts.items():
            if CONCEPTS[key].element == "code":
                texts[key] = (CONCEPTS[key].resource, one.search)
        for kind, words_of_kind in texts.values():
            if words_of_kind and kind in kinds:
                searches.append((kind, {"code:text": ",".join(words_of_kind)}))
        return searches

    def _search(self, kind: str, params: dict[str, str]) -> SearchRow:
        row = SearchRow(f"{kind}?{'&'.join(f'{key}={text}' for key, text in params.items())}")
        try:
            sample = self._searcher.sample(kind, params, self._pages)
        except HttpError as error:
            if error.status == _UNAUTHORISED:
                raise
            if params == _NEWEST:
                return self._search(kind, {})
            row.refused = f"{error.status} {error.outcome}".strip()
            return row
        new = [line for line in sample.lines if not self._known(line)]
        count_lines(new, self._counter)
        row.pages, row.resources = sample.pages, len(sample.lines)
        row.total, row.all = sample.total, sample.whole
        return row

    def _known(self, line: bytes) -> bool:
        """Whether another search returned this resource already."""
        before = len(self._seen)
        self._seen.add(line)
        return len(self._seen) == before
