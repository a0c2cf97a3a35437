"""The files of a target in slices, one of some patients after another, and how they are joined."""

import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fhircryo.fhir.input_files import InputFile
from fhircryo.publish.folder_output import FolderOutput
from fhircryo.publish.folder_target import ISSUES, OBSERVATIONS, PROVENANCES
from fhircryo.runs.publish_patients import PatientPiece, PublishCounts
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.summary import issue_writer


@dataclass(frozen=True)
class Written:
    """What was written of the patients: what it was read from, the counts, the inputs' hashes."""

    read: ReadResult
    total: PublishCounts
    hashes: dict[str, str | None]


def hashes_of(files: Iterable[InputFile]) -> dict[str, str | None]:
    """The hashes of files by name; None for one that cannot be read."""
    return {file.name: file.sha256() for file in files}


#: The files that are written in slices.
SLICED = (OBSERVATIONS, PROVENANCES, ISSUES)


def write_slice(
    pieces: Iterable[PatientPiece[FolderOutput]], work: Path, number: int, base: str
) -> PublishCounts:
    """Write the pieces of some patients to the files of one slice; returns their counts."""
    with ExitStack() as opened:
        files = {
            name: opened.enter_context((work / _slice_name(name, number)).open("xb"))
            for name in SLICED
        }
        return write_pieces(pieces, files, base)


def write_pieces(
    pieces: Iterable[PatientPiece[FolderOutput]], files: Mapping[str, IO[bytes]], base: str
) -> PublishCounts:
    """Write the pieces of patients; returns their counts.

    ``files``: those of ``SLICED``, open, by name. ``base``: the canonical base URL, as in
    ``Mappings``.
    """
    counts = PublishCounts()
    observations, provenances = files[OBSERVATIONS], files[PROVENANCES]
    report = issue_writer(files[ISSUES], base)
    for piece in pieces:
        counts.add(piece.counts)
        if piece.output is not None:
            observations.write(piece.output.observation_lines)
            provenances.write(piece.output.provenance_line)
        for issue in piece.issues:
            report(issue, piece.patient)
    return counts


def join_slices(work: Path, count: int) -> None:
    """Join the files of ``count`` slices, in their order."""
    for name in SLICED:
        _join([work / _slice_name(name, number) for number in range(count)], work / name)


def _join(slices: list[Path], whole: Path) -> None:
    """Append the other slices to the first one and rename it."""
    with slices[0].open("ab") as file:
        for one in slices[1:]:
            with one.open("rb") as more:
                shutil.copyfileobj(more, file, 1 << 20)
            one.unlink()
    slices[0].rename(whole)


def _slice_name(name: str, number: int) -> str:
    return f"{name}.{number}"
