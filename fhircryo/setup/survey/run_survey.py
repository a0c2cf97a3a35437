"""Surveys a source: a folder whole, a server by a sample with a bounded number of requests."""

from collections.abc import Callable, Iterable
from pathlib import Path

from fhircryo.errors import UnreadableResource
from fhircryo.extract.context import Context
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import open_client
from fhircryo.fhir.dates import DateReader
from fhircryo.fhir.decode import resources
from fhircryo.fhir.input_files import input_files, parts, read_batches
from fhircryo.fhir.search import Searcher
from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.load import Mappings, load_mappings
from fhircryo.runs.read_source import no_garbage_collection
from fhircryo.settings import Settings
from fhircryo.setup.survey.classify import judge
from fhircryo.setup.survey.count_resources import KINDS, Look
from fhircryo.setup.survey.suggest import Suggester
from fhircryo.setup.survey.survey_json import SearchRow, Survey
from fhircryo.sources.places import server_of

_PART_SIZE = 16 << 20
#: The newest first: how a site records today is what counts for an overlay.
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
    """What a source holds. ``pages``: read of each search on a server; ``exclude``: who objected.

    Raises:
        SourceError: it is not there, or cannot be read.
    """
    mappings = load_mappings(settings.mappings, settings.base)
    suggester = Suggester(mappings)
    if server_of(source) is not None:
        with open_client(source, settings.source) as client:
            look = Look(_context(mappings, settings, client.base), suggester, exclude)
            searches = _Sampler(client, look, suggester, pages, progress).read()
            found = judge(look.tally, mappings, suggester, client.base)
            found.sample = True
            found.searches = searches
            found.requests = client.requests_made
            return found
    look = Look(_context(mappings, settings), suggester, exclude)
    with no_garbage_collection():
        passed_over = _read_folder(Path(source), look, progress)
    found = judge(look.tally, mappings, suggester, source)
    found.passed_over = passed_over
    return found


def _context(mappings: Mappings, settings: Settings, server: str = "") -> Context:
    dates = DateReader(settings.timezone)
    return Context(mappings, dates, test_data=settings.test_data, server=server)


def _read_folder(folder: Path, look: Look, progress: Progress | None) -> list[str]:
    """Count all files; the names of what is passed over."""
    files, passed_over = input_files(folder)
    to_read = parts(files, _PART_SIZE)
    for number, part in enumerate(to_read, 1):
        try:
            for batch in read_batches(part):
                take(batch, look)
        except UnreadableResource:
            look.tally.unreadable += 1
        if progress is not None:
            progress(number, len(to_read))
    return passed_over


def take(lines: Iterable[bytes], look: Look) -> None:
    """Count the resources of some lines; what cannot be read only counts as such."""
    for line in lines:
        for found in resources(line, look.bundle):
            if found.error and line.strip():
                look.tally.unreadable += 1
            elif not found.error:
                try:
                    look.take(found.kind, found.resource)
                except UnreadableResource:
                    look.tally.unreadable += 1


class _Sampler:
    """Asks one server: of each type the newest, and what has a word of ours in its code's text."""

    def __init__(
        self,
        client: Client,
        look: Look,
        suggester: Suggester,
        pages: int,
        progress: Progress | None,
    ) -> None:
        self._searcher = Searcher(client)
        self._client = client
        self._look = look
        self._suggester = suggester
        self._pages = pages
        self._progress = progress
        self._seen: set[bytes] = set()

    def read(self) -> list[SearchRow]:
        """Ask everything once.

        Raises:
            SourceError: it is no FHIR server, or cannot be reached.
        """
        try:
            known = capabilities(self._client)
            kinds = [kind for kind in KINDS if not known.types or kind in known.types]
            rows = [SearchRow(kind, refused=_NOT_THERE) for kind in KINDS if kind not in kinds]
            asked = self._searches(kinds)
            for number, (kind, params) in enumerate(asked, 1):
                rows.append(self._ask(kind, params))
                if self._progress is not None:
                    self._progress(number, len(asked))
            return rows
        finally:
            self._searcher.close()

    def _searches(self, kinds: list[str]) -> list[tuple[str, dict[str, str]]]:
        asked: list[tuple[str, dict[str, str]]] = [(kind, dict(_NEWEST)) for kind in kinds]
        words = self._suggester.words
        texts = {key: ("Observation", one.search) for key, one in words.instruments.items()}
        for key, one in words.concepts.items():
            if CONCEPTS[key].element == "code":
                texts[key] = (CONCEPTS[key].resource, one.search)
        for kind, searched in texts.values():
            if searched and kind in kinds:
                asked.append((kind, {"code:text": ",".join(searched)}))
        return asked

    def _ask(self, kind: str, params: dict[str, str]) -> SearchRow:
        row = SearchRow(f"{kind}?{'&'.join(f'{key}={text}' for key, text in params.items())}")
        try:
            sample = self._searcher.sample(kind, params, self._pages)
        except HttpError as error:
            if error.status == _UNAUTHORISED:
                raise
            if params == _NEWEST:
                return self._ask(kind, {})
            row.refused = f"{error.status} {error.outcome}".strip()
            return row
        new = [line for line in sample.lines if not self._known(line)]
        take(new, self._look)
        row.pages, row.resources = sample.pages, len(sample.lines)
        row.total, row.all = sample.total, sample.whole
        return row

    def _known(self, line: bytes) -> bool:
        """Whether it came by another search already."""
        before = len(self._seen)
        self._seen.add(line)
        return len(self._seen) == before
