"""Whether a folder can be read as a source, or written as a target."""

from collections.abc import Iterator
from pathlib import Path

from fhircryo.errors import SourceError, UsageError
from fhircryo.publish.folder_target import check_target
from fhircryo.runs.read_source import read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.doctor.check import Finding, failed, ok, warning
from fhircryo.sources.lacking import lacking_types


def look_at_source_folder(folder: Path, job: RunConfig) -> Iterator[Finding]:
    """The checks of a folder as SOURCE: it is read."""
    try:
        read = read_source(folder, job)
    except SourceError as error:
        yield failed("source", "readable", str(error), "name a folder of NDJSON files")
        return
    yield ok("source", "readable", f"{folder}: {len(read.collected.files)} files")
    broken = len(read.collected.facts.unreadable)
    if broken:
        yield warning(
            "source",
            "unreadable",
            f"{broken} lines or files",
            "compute names them in issues.ndjson; mend the export",
        )
    for name in read.collected.passed_over:
        yield warning("source", "not read", name, "only *.ndjson, *.ndjson.gz and *.json are")
    for kind in lacking_types(read.lacking):
        yield warning(
            "source",
            f"{kind} kept",
            "there is not one: endpoints that need it are source-lacks-type",
            "export the type; complete_types, if it is kept and nothing happened",
        )
    candidates = len(read.records.records)
    if candidates:
        yield ok("source", "index procedures", f"of {candidates} patients")
    else:
        yield warning(
            "source",
            "index procedures",
            "none has a code that is mapped: nobody would be in the cohort",
            "fhircryo mappings survey shows the codes that are there",
        )


def look_at_target_folder(folder: Path, source: Path | None) -> Finding:
    """Whether a folder can be written as TARGET."""
    try:
        check_target(folder, source, force=False)
    except UsageError as error:
        return failed("target", "writable", str(error), "name another", UsageError.exit_code)
    return ok("target", "writable", f"{folder}")
