"""Arguments and options that several commands share."""

from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.errors import UsageError

if TYPE_CHECKING:
    from fhircryo.cli.progress import Stage
    from fhircryo.record.patients import Selection
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import Settings
    from fhircryo.sources.bulk_source import Bulk


def parse_day(text: str) -> date:
    """A calendar date as written on the command line."""
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
        parser=parse_day,
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
Patients = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|Group/ID", help="Only these patients: a file, one id a line; or a Group."
    ),
]
Workers = Annotated[
    int,
    typer.Option(min=0, help="Processes to share the work; 0: as many as size and memory allow."),
]
Exclude = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Patients who objected: neither computed nor named."),
]


BulkLevel = Annotated[
    str | None,
    typer.Option(
        "--bulk",
        metavar="system|patient|Group/ID",
        help="Read the server by bulk export of this level.",
    ),
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Keep the files of --bulk, in TARGET.bulk beside it.")
]


def bulk_of(
    level: str | None, keep: bool, source: str, place: Path, stage: "Stage | None"
) -> "Bulk | None":
    """How a server is to be read by bulk export, if it is; ``place``: of the target."""
    from fhircryo.fhir.bulk.exporting import Watch
    from fhircryo.sources.bulk_source import Bulk, check_keep, level_of
    from fhircryo.sources.places import server_of

    if level is None:
        if keep:
            raise UsageError("--keep is for the files of --bulk")
        return None
    if server_of(source) is None:
        raise UsageError("--bulk needs a FHIR server as SOURCE; a folder is read as it is")
    watch = Watch() if stage is None else Watch(tell=stage)
    return Bulk(level_of(level), watch, check_keep(place) if keep else None)


#: A folder of so many bytes is worth another process.
_BIG = 64 << 20
#: Packed files hold about so many times their size.
_PACKED = 10
#: Bytes of memory that a process takes at most per byte of the folder (measured: 1.1, a cohort's).
_MEMORY = 1.2


def workers_for(source: str) -> int:
    """How many processes a source is worth, as far as the memory of the machine goes."""
    import os

    from fhircryo.runs.processes import CAN_FORK, available_memory

    folder = Path(source)
    if not CAN_FORK or not folder.is_dir():
        return 1
    size = sum(
        file.stat().st_size * (_PACKED if file.suffix == ".gz" else 1)
        for file in folder.iterdir()
        if file.is_file()
    )
    wanted = min(os.cpu_count() or 1, 1 + size // _BIG)
    memory = available_memory()
    if memory is None or not size:
        return wanted
    return max(1, min(wanted, int(memory / (_MEMORY * size))))


def scheduled_job(
    config: Path | None,
    patients: str | None = None,
    exclude: Path | None = None,
    bulk: str | None = None,
) -> "RunConfig":
    """The job of a scheduled run, as of today: all of it stands in the settings."""
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import load_settings

    settings = load_settings(config)
    if bulk is not None:
        from fhircryo.sources.bulk_source import level_of

        chosen_way = settings.sync.model_copy(update={"bulk": level_of(bulk)})
        settings = settings.model_copy(update={"sync": chosen_way})
    chosen = _selection(
        settings,
        settings.sync.source or "",
        patients or settings.sync.patients,
        exclude or settings.sync.exclude,
    )
    return RunConfig.of(settings, date.today(), chosen)


def job_of(
    as_of: date | None,
    protocol: str | None,
    mappings: list[Path] | None,
    source: str = "",
    patients: str | None = None,
    exclude: Path | None = None,
) -> "RunConfig":
    """The job that options and settings describe."""
    # Imported here, like all that a command needs: --help shall not wait for it.
    from fhircryo.logs import set_up_logs
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import load_settings

    settings = load_settings(protocol=protocol, mappings=tuple(mappings) if mappings else None)
    set_up_logs(settings.log_level, settings.log_format)
    chosen = _selection(settings, source, patients, exclude)
    return RunConfig.of(settings, as_of or date.today(), chosen)


def _selection(
    settings: "Settings", source: str, patients: str | None, exclude: Path | None
) -> "Selection":
    """Who is asked for, and who objected."""
    from fhircryo.record.patient_list import read_patient_list
    from fhircryo.record.patients import Selection
    from fhircryo.sources.groups import patients_of

    return Selection(
        include=patients_of(source, patients, settings.source) if patients else None,
        exclude=read_patient_list(exclude) if exclude else frozenset(),
    )
