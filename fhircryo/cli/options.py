"""The arguments and options that several commands share."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fhircryo.calendar import read_day
from fhircryo.errors import UsageError


def parse_day(text: str) -> date:
    """Return the calendar date that is written as YYYY-MM-DD.

    Raises:
        BadParameter: the text is not such a date.
    """
    try:
        return read_day(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


# ------------------------------------------------------------------ what is read

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Folder of FHIR NDJSON files, or the base URL of a FHIR server.",
        show_default=False,
    ),
]
ServerSource = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="The base URL of a FHIR server.", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Settings file. [default: fhircryo.toml in this folder, if it exists]"
    ),
]
AsOf = Annotated[
    date | None,
    typer.Option(
        parser=parse_day,
        metavar="DATE",
        help="Cut-off date; data dated later are ignored. [default: today]",
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help="Follow-up protocol. [default: bomers-2020]"),
]
Mappings = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Site overlay on the shipped mappings; repeatable."),
]
Patients = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|Group/ID",
        help="Only these patients: a file with one id per line, or a FHIR Group.",
    ),
]
Exclude = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="File of patients who objected; they are neither computed nor named."
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=0, help="Number of processes; 0: as many as the size of SOURCE and the memory allow."
    ),
]


_UNITS = {"MB": 10**6, "GB": 10**9}


FigureFormats = Annotated[
    str,
    typer.Option(
        "--figures",
        metavar="LIST",
        help="Formats of the figures: svg, png (300 dots per inch).",
    ),
]


def chosen_formats(text: str, known: Sequence[str], option: str = "--format") -> tuple[str, ...]:
    """The formats that an option lists, each once.

    Raises:
        UsageError: one of them is not known, or there is none.
    """
    names = (name.strip() for name in text.split(","))
    chosen = tuple(dict.fromkeys(name for name in names if name))
    for name in chosen:
        if name not in known:
            raise UsageError(f"{option} {name}: not one of {', '.join(known)}")
    if not chosen:
        raise UsageError(f"{option}: name one or more of {', '.join(known)}")
    return chosen


def parse_memory(text: str) -> int:
    """Return the bytes that a size such as ``500MB`` or ``2GB`` stands for."""
    number, unit = text[:-2].strip(), text[-2:].upper()
    if unit not in _UNITS or not number.isascii() or not number.isdecimal() or not int(number):
        raise typer.BadParameter(f"{text}: not a size; write 500MB or 2GB, for example")
    return int(number) * _UNITS[unit]


Memory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        parser=parse_memory,
        metavar="SIZE",
        help="Memory that all processes together may need, such as 500MB; a folder that needs more"
        " is worked through by ranges of patients.",
        show_default=False,
    ),
]


class EngineName(StrEnum):
    """What distributes the work."""

    LOCAL = "local"
    SPARK = "spark"


Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        help="What distributes the work: the processes of this machine, or Spark.",
    ),
]
SparkMaster = Annotated[
    str | None,
    typer.Option(
        "--spark-master",
        metavar="URL",
        help="The Spark cluster, for --engine spark; not given: as Spark is configured, else this"
        " machine.",
        show_default=False,
    ),
]
BulkLevel = Annotated[
    str | None,
    typer.Option(
        "--bulk",
        metavar="system|patient|Group/ID",
        help="Read the server by bulk export at this level.",
    ),
]
Keep = Annotated[
    bool,
    typer.Option(
        "--keep", help="Keep the files of the bulk export, beside the output in OUTPUT.bulk."
    ),
]

# ------------------------------------------------------------------ what is written

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Show what would change on the server, and write nothing; the exit code is that of the"
        " real run.",
    ),
]
AllowRetractions = Annotated[
    bool,
    typer.Option(
        "--allow-retractions",
        help="Allow a run to retract the endpoints of any number of patients.",
    ),
]
AllowDowngrade = Annotated[
    bool,
    typer.Option(
        "--allow-downgrade",
        help="Write to a server to which a newer version of fhircryo has written.",
    ),
]
AcceptUnreadable = Annotated[
    bool,
    typer.Option(
        "--accept-unreadable",
        help="Write to the server even if part of the source could not be read.",
    ),
]
AcceptWithheld = Annotated[
    bool,
    typer.Option(
        "--accept-withheld",
        help="Read on although the server says that it withholds Patients, Procedures or"
        " Observations.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
