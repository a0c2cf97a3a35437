"""The one interface to sources: a folder, a server by search, a server by bulk export."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

from fhircryo.extract.context import Context
from fhircryo.extract.lines import grading_labels
from fhircryo.fhir.dates import DateReader
from fhircryo.fhir.input_files import FilePart, InputFile
from fhircryo.mapping.load import Mappings
from fhircryo.record.collector import Facts, Retention, Unreadable
from fhircryo.record.items import Item, PatientFacts
from fhircryo.record.patients import ALL_PATIENTS, Patients, Selection

#: Called with the number of steps that are done and the number of all steps.
Progress = Callable[[int, int], None]


class Mergeable(Protocol):
    """A result that several processes each compute a share of."""

    def empty_copy(self) -> Self:
        """A share that holds nothing yet."""

    def encode(self) -> bytes:
        """The share, to send it to another process."""

    def merge(self, encoded: bytes) -> None:
        """Add the share of another process."""


M = TypeVar("M", bound=Mergeable)


class Driver(Protocol):
    """How the parts of an input are distributed: in this process, over several, or elsewhere.

    ``hash_of``: the hash of a reference, the same in all processes that read.
    """

    @property
    def hash_of(self) -> Callable[[str], int]: ...  # noqa: D102  as the class says

    def collect(
        self,
        parts: Sequence[FilePart],
        step: Callable[[FilePart, M], None],
        into: M,
        progress: Progress | None = None,
    ) -> None:
        """Run ``step`` on every part, in any order, and merge the results into ``into``."""


@dataclass(frozen=True)
class ReadRequest:
    """What is read from a source, and how.

    ``timezone``: the IANA zone that times written in UTC are converted to (None: as written).
    ``test_data``: resources labelled as test data are read as well. ``subject_system``: the system
    of the patient identifiers by which a target matches patients; empty: not needed.
    ``accept_withheld``: read on although a server says that it withholds Patients, Procedures or
    Observations.
    ``traced``: patients of whom resources that are only counted are retained as well.
    """

    mappings: Mappings
    driver: Driver
    timezone: str | None = None
    test_data: bool = False
    accept_withheld: bool = False
    subject_system: str = ""
    selection: Selection = ALL_PATIENTS
    traced: frozenset[str] = frozenset()
    progress: Progress | None = None

    def context(self, server: str = "") -> Context:
        """The context of extraction; ``server``: the base URL of the server that is read."""
        return Context(
            self.mappings,
            DateReader(self.timezone),
            test_data=self.test_data,
            traced=self.traced,
            server=server,
            subject_system=self.subject_system,
        )

    def retention(
        self, wanted: frozenset[str] | None = None, watched: frozenset[str] = frozenset()
    ) -> Retention:
        """Which resources are retained; the parameters are those of ``Retention``."""
        return Retention(
            grading_labels(self.mappings),
            wanted=wanted,
            watched=watched,
            traced=self.traced,
            asked=(self.selection.include or frozenset()) | self.traced,
        )


@dataclass(frozen=True)
class Collected:
    """What a source gave.

    ``items``: the latest version of every retained resource, by reference. ``place``: names where
    something unreadable is. ``present``: the types that the source holds. ``graded``: the scales of
    which it holds Observations that grade. ``withheld``: by type, the words with which a server
    says that it withholds results. ``files`` and ``passed_over``: of a folder, the files
    that were read and what else is in it. ``exported_at``: the server's time of a bulk export.
    """

    items: dict[str, Item]
    facts: Facts
    patients: Patients
    place: Callable[[Unreadable], str]
    present: frozenset[str]
    graded: frozenset[str]
    withheld: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[InputFile] = ()
    passed_over: Sequence[str] = ()
    exported_at: str | None = None


class Source(Protocol):
    """Where resources come from.

    ``name``: the folder or base URL, as the user gave it. ``server``: the base URL of a server;
    None for a folder.
    """

    name: str
    server: str | None

    def collect(self, request: ReadRequest) -> Collected:
        """Read what the request asks for.

        Raises:
            SourceError: the source is not there, refuses, or does not give all that it holds.
        """


def present_types(facts: Facts) -> frozenset[str]:
    """The types of all resources that were found, readable or not."""
    found = {kind for kind, number in facts.seen.items() if number}
    return frozenset(found | {one.kind for one in facts.all_unreadable})


def current_links(items: dict[str, Item]) -> dict[str, str]:
    """The links of merged patients, by the latest version of each Patient.

    An earlier version may have had a link that a later one no longer has.
    """
    return {
        item.patient: item.replaced_by
        for item in items.values()
        if type(item) is PatientFacts and item.replaced_by
    }


def not_applied(facts: Facts) -> list[str]:
    """What is said of deletions that name no resource."""
    number = len(facts.deleted.get("", ()))
    return [f"{number} deletions in Bundles that do not name a resource as Type/id"][: number > 0]
