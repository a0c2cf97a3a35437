"""Checks the files that only scheduled runs use: lists of patients and the metrics."""

import os
from collections.abc import Iterator
from pathlib import Path

from fhircryo.errors import UsageError
from fhircryo.record.patient_list import read_patient_list
from fhircryo.settings import SyncSettings
from fhircryo.setup.doctor.check import CheckResult, failed, ok, warning
from fhircryo.sources.groups import GROUP

_PART = "here"


def schedule_checks(settings: SyncSettings) -> Iterator[CheckResult]:
    """Check the files that the section ``[sync]`` names, as a run of this user would find them."""
    if settings.exclude is not None:
        yield _patient_list("sync.exclude", settings.exclude)
    if settings.patients is not None and not settings.patients.startswith(GROUP):
        yield _patient_list("sync.patients", Path(settings.patients))
    if settings.metrics_file is not None:
        yield _metrics(settings.metrics_file)


def _patient_list(setting: str, file: Path) -> CheckResult:
    """Check that a list can be read; a run ends without it, so that nobody on it is overlooked."""
    try:
        patients = read_patient_list(file)
    except UsageError as error:
        advice = "correct the file or the setting; until then, no run begins"
        return failed(_PART, setting, str(error), advice, UsageError.exit_code)
    return ok(_PART, setting, f"{file}: {len(patients)} patients")


def _metrics(file: Path) -> CheckResult:
    """Check that the metrics can be written; without them a run goes on, but no alert sees it."""
    folder = file.parent
    if not folder.is_dir():
        problem = "there is no such folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        problem = "this user cannot write to it"
    else:
        return ok(_PART, "sync.metrics_file", str(file))
    advice = "create the folder, and allow the user of the service to write to it"
    return warning(_PART, "sync.metrics_file", f"{folder}: {problem}", advice)
