"""A cohort as a folder: tables, statistics and a report."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from fhircryo.publish.folder_target import check_target, writing_to
from fhircryo.research.build import Built, build, build_ranges
from fhircryo.research.cohort_writer import CohortWriter, Found
from fhircryo.research.folder_options import OWN, FolderOptions
from fhircryo.runs.execution import Execution
from fhircryo.runs.read_source import ReadOptions, no_garbage_collection, read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.slices import hashes_of
from fhircryo.runs.workload import ranges_for
from fhircryo.sources.folder_source import FolderSource, file_limits
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import folder_of

#: The folder of the tables in parts while the files are written.
_PARTS = "parts"
#: Bytes of memory that every process needs to build tables, whatever it reads.
_BASE_MEMORY = 240 << 20


def write_cohort(
    source: str | Path,
    folder: Path,
    config: RunConfig,
    options: FolderOptions,
    execution: Execution | None = None,
) -> Found:
    """Compute a source's cohort and write its folder: all files, or none if anything fails.

    Raises:
        SourceError: the source cannot be read.
        TargetError: the folder cannot be written.
        UsageError: the folder holds other files, or the key cannot be used.
    """
    how = execution or Execution()
    read_from = folder_of(source)
    check_target(folder, read_from, own=OWN)
    writer = CohortWriter.to(folder, config, options)
    job = _Job(folder, writer, how)
    how.begin("reading")
    if read_from is not None:
        files = FolderSource(read_from, file_limits(config.settings.source))
        count = ranges_for(files.content.files, how, _BASE_MEMORY)
        if count > 1:
            return job.by_ranges(files, count)
    built = job.in_memory(source)
    how.begin("writing")
    with writing_to(folder, OWN) as work:
        found = writer.write(work, built)
        writer.retain_key()
    return found


@dataclass(frozen=True)
class _Job:
    """A cohort that is computed into a folder."""

    folder: Path
    writer: CohortWriter
    how: Execution

    def by_ranges(self, source: FolderSource, count: int) -> Found:
        """Compute ranges of patients one after another; in memory only where that is needed."""
        with writing_to(self.folder, OWN) as work, no_garbage_collection():
            parts = work / _PARTS
            parts.mkdir()
            how = replace(self.how, ranges=count)
            built = build_ranges(source, self.writer.config, self.writer.tables, how, parts)
            if built is None:
                built = self.in_memory(source.name)
            self.how.begin("writing")
            found = self.writer.write(work, built)
            shutil.rmtree(parts)
            self.writer.retain_key()
        return found

    def in_memory(self, source: str | Path) -> Built:
        """Read everything into memory and build the tables."""
        how, config = self.how, self.writer.config
        server = ServerReading(self.folder, how.bulk)
        read = read_source(source, config, ReadOptions(how.workers, how.progress, server=server))
        how.begin("computing")
        with no_garbage_collection():
            built = build(read, config, self.writer.tables, how)
        # The records take most of the memory, and they are not needed any more.
        read.records.records.clear()
        read.collected.items.clear()
        return replace(built, hashes=hashes_of(read.collected.files))
