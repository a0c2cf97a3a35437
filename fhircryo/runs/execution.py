"""How a run is executed: the number of processes, and who follows its progress."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhircryo.sources.source import Progress

if TYPE_CHECKING:
    from fhircryo.sources.bulk_source import Bulk


@dataclass(frozen=True)
class Execution:
    """How a source is read and computed; it does not change the result.

    ``workers``: the number of processes. ``progress``: receives how much of a stage is done;
    ``memory``: bytes that all processes together should need at most; None: as many as are
    needed to be fast. ``ranges``: into how many ranges the patients of a folder are divided, of
    which each process has one in memory at a time; 0: as ``workers`` and ``memory`` say.
    ``stage``: receives the name of a stage that begins. ``bulk``: read a server by bulk export.
    """

    workers: int = 1
    progress: Progress | None = None
    stage: Callable[[str], None] | None = None
    bulk: "Bulk | None" = None
    memory: int | None = None
    ranges: int = 0

    def begin(self, stage: str) -> None:
        """Report that a stage begins."""
        if self.stage is not None:
            self.stage(stage)
