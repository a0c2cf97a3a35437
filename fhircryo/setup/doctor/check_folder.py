"""Checks whether a folder can be read as a source, or written to as a target."""

import os
from collections.abc import Iterator
from pathlib import Path

from fhircryo.errors import SourceError, TargetError, UsageError
from fhircryo.fhir.file_names import DATA_ENDINGS
from fhircryo.publish.folder_target import check_target
from fhircryo.runs.read_source import read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.unused_input import unreadable_files, why_no_cohort
from fhircryo.setup.doctor.check import CheckResult, failed, ok, warning
from fhircryo.sources.lacking import lacking_types


def source_folder_checks(folder: Path, config: RunConfig) -> Iterator[CheckResult]:
    """Check a folder as SOURCE, by reading it."""
    try:
        read = read_source(folder, config)
    except SourceError as error:
        yield failed("source", "readable", str(error), "name a folder that holds NDJSON files")
        return
    yield ok("source", "readable", f"{folder}: {len(read.collected.files)} files")
    broken = read.collected.facts.number_unreadable
    if broken:
        yield warning(
            "source",
            "unreadable",
            f"{broken} lines or files",
            "correct the export; fhircryo compute lists them in issues.ndjson",
        )
    for words in unreadable_files(read):
        yield warning("source", "unreadable file", words, "or move it out of the folder")
    for name in read.collected.passed_over:
        yield warning("source", "not read", name, f"read are {DATA_ENDINGS}")
    deleted = sum(older.deleted for older in read.collected.facts.older)
    if deleted:
        yield ok("source", "deletions", f"{deleted} resources are deleted by Bundles in the folder")
    for kind in lacking_types(read.lacking):
        yield warning(
            "source",
            f"{kind} kept",
            "the source holds none: endpoints that need this type are absent (source-lacks-type)",
            "export the type; if it is recorded and nothing of the kind happened, add it to the"
            " setting complete_types",
        )
    candidates = len(read.records.records)
    if candidates:
        yield ok("source", "index procedures", f"of {candidates} patients")
    else:
        yield warning(
            "source",
            "index procedures",
            f"the cohort would be empty. {why_no_cohort(read, config.as_of)}",
            "run fhircryo mappings survey to see the codes in the source",
        )


def target_folder_check(folder: Path, source: Path | None) -> CheckResult:
    """Check a folder as TARGET; ``source``: the folder that is SOURCE, if it is one."""
    try:
        check_target(folder, source, force=False)
    except UsageError as error:
        # The message says what to do.
        return failed("target", "writable", str(error), "", UsageError.exit_code)
    # A run writes a folder beside the target, and then exchanges the two.
    parent = next(one for one in folder.absolute().parents if one.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        return failed(
            "target",
            "writable",
            f"{parent}: this user may not write there",
            "name another folder, or change its permissions",
            TargetError.exit_code,
        )
    return ok("target", "writable", f"{folder}: may be written or replaced")
