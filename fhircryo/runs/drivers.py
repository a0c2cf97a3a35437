"""Drivers: how the parts of an input are distributed over processes.

Every driver gives the same result, whatever the order in which the parts are read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhircryo.fhir.input_files import FilePart
from fhircryo.runs.processes import Turns, in_parallel
from fhircryo.sources.source import Driver, M, Progress

#: Inputs smaller than this are read faster by one process than several can be started.
_WORTH_SHARING = 8 << 20


def worth_sharing(size: int) -> bool:
    """Whether several processes read so many bytes faster than one."""
    return size >= _WORTH_SHARING


class OneProcess:
    """Reads the parts one after another in this process."""

    hash_of: Callable[[str], int] = staticmethod(hash)

    def collect(
        self,
        parts: Sequence[FilePart],
        step: Callable[[FilePart, M], None],
        into: M,
        progress: Progress | None = None,
    ) -> None:
        """Run ``step`` on every part."""
        for number, part in enumerate(parts, 1):
            step(part, into)
            if progress is not None:
                progress(number, len(parts))


@dataclass(frozen=True)
class SeveralProcesses:
    """Shares the parts among processes; each takes the next part as soon as it is free."""

    workers: int
    #: Forked processes have the same hashes.
    hash_of: Callable[[str], int] = hash

    def collect(
        self,
        parts: Sequence[FilePart],
        step: Callable[[FilePart, M], None],
        into: M,
        progress: Progress | None = None,
    ) -> None:
        """Run ``step`` on every part, and merge the results of the other processes."""
        size = sum((part.end or part.file.size) - part.start for part in parts)
        workers = min(self.workers, len(parts)) if worth_sharing(size) else 1
        if workers <= 1:
            OneProcess().collect(parts, step, into, progress)
            return
        turns = Turns(len(parts))

        def work(worker: int) -> bytes:
            mine = into.empty_copy() if worker else into
            for number in turns:
                step(parts[number], mine)
                if progress is not None and not worker:
                    progress(number + 1, len(parts))
            return mine.encode() if worker else b""

        for encoded in in_parallel(work, workers)[1:]:
            into.merge(encoded)


def driver_of(workers: int) -> Driver:
    """The driver for a number of processes."""
    return SeveralProcesses(workers) if workers > 1 else OneProcess()
