"""Arguments and options that several commands share."""

from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fhircryo.job import Job


def _day(text: str) -> date:
    # Other ISO 8601 forms are no FHIR dates.
    if text[4:5] == text[7:8] == "-":
        with suppress(ValueError):
            return date.fromisoformat(text)
    raise typer.BadParameter(f"{text!r} is no date; write it as 2017-12-31")


Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Settings file. [default: fhircryo.toml, where it is]"),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Folder of FHIR NDJSON files, or the base URL of a FHIR server.",
        show_default=False,
    ),
]
AsOf = Annotated[
    date | None,
    typer.Option(
        parser=_day,
        metavar="DATE",
        help="Data cut-off; nothing dated after it exists. [default: today]",
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help="Follow-up protocol. [default: bomers-2020]"),
]
Mappings = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Site overlay, laid over the shipped mappings; repeatable."),
]
Exclude = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Patients who objected: neither computed nor named."),
]


def scheduled_job(
    config: Path | None, patients: str | None = None, exclude: Path | None = None
) -> "Job":
    """The job of a scheduled run, as of today: all of it stands in the settings."""
    from fhircryo.job import Job
    from fhircryo.patient_list import read_patient_list
    from fhircryo.reading import Selection
    from fhircryo.settings import load_settings
    from fhircryo.source import patients_of

    settings = load_settings(config)
    named = patients or settings.sync.patients
    objected = exclude or settings.sync.exclude
    source = settings.sync.source or ""
    selection = Selection(
        include=patients_of(source, named, settings.source) if named else None,
        exclude=read_patient_list(objected) if objected else frozenset(),
    )
    return Job.of(settings, date.today(), selection)


def job_of(
    as_of: date | None,
    protocol: str | None,
    mappings: list[Path] | None,
    source: str = "",
    patients: str | None = None,
    exclude: Path | None = None,
) -> "Job":
    """The job that options and settings describe."""
    # Imported here, like all that a command needs: --help shall not wait for it.
    from fhircryo.job import Job
    from fhircryo.logs import set_up_logs
    from fhircryo.patient_list import read_patient_list
    from fhircryo.reading import Selection
    from fhircryo.settings import load_settings
    from fhircryo.source import patients_of

    settings = load_settings(protocol=protocol, mappings=tuple(mappings) if mappings else None)
    set_up_logs(settings)
    selection = Selection(
        include=patients_of(source, patients, settings.source) if patients else None,
        exclude=read_patient_list(exclude) if exclude else frozenset(),
    )
    return Job.of(settings, as_of or date.today(), selection)
