"""A folder of computed endpoints, read to be written elsewhere."""

import json
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


class Computed(msgspec.Struct):
    """One patient's endpoints, as lines of JSON in the form of a folder."""

    patient: str
    observations: list[bytes]
    provenance: bytes


class _Id(msgspec.Struct):
    id: str


_ID = msgspec.json.Decoder(_Id)


def identifiers_of(computed: Computed) -> list[str]:
    """The identifiers of a patient's endpoints: in a folder's form they are the ids."""
    return [_ID.decode(line).id for line in computed.observations]


@dataclass(frozen=True)
class ComputedFolder:
    """What ``compute`` wrote to a folder.

    ``server``: what it was computed from, where that was a server; ``asked_for``: the patients
    that were asked for by name (None: all); ``unreadable``: lines and files of the source.
    """

    origin: Origin
    server: str | None
    asked_for: frozenset[str] | None
    unreadable: int
    patients: list[Computed]


class _Subject(msgspec.Struct):
    reference: str


class _Head(msgspec.Struct):
    subject: _Subject


_HEAD = msgspec.json.Decoder(_Head)


def read_computed(folder: Path) -> ComputedFolder:
    """Read a computed folder.

    Raises:
        UsageError: it is none, or it is not as it was written.
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
        raise UsageError(f"{folder}: not a folder that this version computed: {error!r}") from None
    found = sum(len(one.observations) for one in patients), len(patients)
    if found != expected:
        raise UsageError(
            f"{folder}: {found[0]} endpoints of {found[1]} patients, and its manifest says"
            f" {expected[0]} of {expected[1]}: it was changed; compute it again (--exclude leaves"
            " patients out)"
        )
    return ComputedFolder(
        origin, server, None if asked is None else frozenset(asked), unreadable, patients
    )


def _manifest(folder: Path) -> Any:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; FOLDER is one that compute wrote")
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            f"{folder}: no {MANIFEST} that can be read; FOLDER is one that compute wrote"
        ) from None


def _patients(folder: Path) -> Iterator[Computed]:
    """The patients in their order: their Observations follow each other, each has a Provenance."""
    provenances = (folder / PROVENANCES).read_bytes().splitlines()
    lines = (folder / OBSERVATIONS).read_bytes().splitlines()
    groups = groupby(lines, lambda line: _HEAD.decode(line).subject.reference)
    for (subject, mine), provenance in zip(groups, provenances, strict=True):
        yield Computed(subject.removeprefix("Patient/"), list(mine), provenance)
