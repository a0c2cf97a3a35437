"""Reads a folder that ``compute`` wrote, so that it can be written to a server."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from fhircryo.errors import UsageError
from fhircryo.publish.folder_target import MANIFEST, OBSERVATIONS, PROVENANCES
from fhircryo.publish.origin import Origin
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.shapes import OBSERVATION_DECODER, PROVENANCE_DECODER
from fhircryo.storage.json_files import read_json


@dataclass(frozen=True)
class ComputedFolder:
    """The content of a folder that ``compute`` wrote.

    ``server``: the base URL of the source, where that was a server. ``asked_for``: the patients
    that were asked for by name (None: all). ``unreadable``: how many lines and files of the source
    could not be read.
    """

    origin: Origin
    server: str | None
    asked_for: frozenset[str] | None
    unreadable: int
    patients: list[PatientOutput]


def read_computed(folder: Path) -> ComputedFolder:
    """Read a folder that ``compute`` wrote.

    Raises:
        UsageError: the folder is not one, or it was changed.
    """
    manifest = _manifest(folder)
    try:
        settings, counts = manifest["settings"], manifest["counts"]
        origin = Origin(
            base=settings["base"],
            source_name=settings["source_name"],
            protocol=manifest["protocol"]["id"],
            protocol_version=manifest["protocol"]["version"],
            as_of=date.fromisoformat(manifest["as_of"]),
        )
        asked = manifest["selection"]["patients"]
        server = manifest["server"]
        expected = counts["observations"], counts["provenances"]
        unreadable = int(counts["unreadable"])
        patients = list(_patients(folder))
    except (KeyError, TypeError, ValueError, OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{folder}: this is not a folder that this version computed: {error!r}"
        ) from None
    found = sum(len(patient.observations) for patient in patients), len(patients)
    if found != expected:
        raise UsageError(
            f"{folder}: it was changed: it holds {found[0]} endpoints of {found[1]} patients, but"
            f" its manifest says {expected[0]} of {expected[1]}; compute it again (--exclude leaves"
            " patients out)"
        )
    return ComputedFolder(
        origin, server, None if asked is None else frozenset(asked), unreadable, patients
    )


def _manifest(folder: Path) -> Any:
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; FOLDER is one that compute wrote")
    try:
        return read_json(folder / MANIFEST)
    except (OSError, ValueError):
        raise UsageError(
            f"{folder}: it has no {MANIFEST} that can be read; FOLDER is one that compute wrote"
        ) from None


def _patients(folder: Path) -> Iterator[PatientOutput]:
    """The patients in the order of the folder, which writes the Observations of each together."""
    provenances = (folder / PROVENANCES).read_bytes().splitlines()
    observations = map(
        OBSERVATION_DECODER.decode, (folder / OBSERVATIONS).read_bytes().splitlines()
    )
    groups = groupby(observations, lambda observation: observation.subject.reference or "")
    for (subject, group), line in zip(groups, provenances, strict=True):
        patient = subject.removeprefix("Patient/")
        yield PatientOutput(patient, list(group), PROVENANCE_DECODER.decode(line))
