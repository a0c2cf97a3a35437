"""The run that a command's options and the settings describe."""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from fhircryo.cli.printing import say
from fhircryo.errors import UsageError

if TYPE_CHECKING:
    from fhircryo.cli.progress import Stage
    from fhircryo.record.patients import Selection
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import Settings
    from fhircryo.sources.bulk_source import Bulk


@dataclass(frozen=True)
class RunOptions:
    """The options that say what is computed, as they are on the command line.

    ``patients``: a file or a Group; None: all. ``exclude``: a file of patients who objected.
    ``accept_withheld``: the setting, where it is not set there. ``settings_file``: None: the one of
    the current folder, if there is one. ``aggregate``: messages are to tell of no few patients: the
    log then begins at warnings, unless the settings say where, because others have numbers and ids.
    """

    source: str = ""
    as_of: date | None = None
    protocol: str | None = None
    mappings: list[Path] | None = None
    patients: str | None = None
    exclude: Path | None = None
    accept_withheld: bool = False
    settings_file: Path | None = None
    aggregate: bool = False

    @property
    def narrowed(self) -> bool:
        """Whether the run covers only some of the patients in the source."""
        return self.patients is not None or self.exclude is not None

    def config(self) -> "RunConfig":
        """Return the configuration of the run, and set up the logs.

        Raises:
            UsageError: an option, a setting or a file that one of them names is wrong.
        """
        # Imported here, like everything that a command needs, so that --help does not wait for it.
        from fhircryo.logs import set_up_logs
        from fhircryo.runs.run_config import RunConfig
        from fhircryo.settings import load_settings

        settings = load_settings(
            self.settings_file,
            protocol=self.protocol,
            mappings=tuple(self.mappings) if self.mappings else None,
            accept_withheld=self.accept_withheld or None,
        )
        least = "warning" if self.aggregate else None
        set_up_logs(settings.log_level or least, settings.log_format)
        if self.as_of is not None and self.as_of > date.today():
            say(
                f"warning: --as-of {self.as_of} is in the future: nobody can be followed up to it",
                err=True,
            )
        selection = _selection(settings, self.source, self.patients, self.exclude)
        return RunConfig.of(settings, self.as_of or date.today(), selection)


@dataclass(frozen=True)
class SourceOptions:
    """The options that say how SOURCE is read, as they are on the command line.

    ``workers``: the number of processes; 0: chosen by size and memory. ``bulk``: the level of a
    bulk export; None: the server is searched. ``keep``: the exported files are kept. ``memory``:
    bytes that all processes together may need; None: as the source's size requires.
    """

    workers: int = 0
    bulk: str | None = None
    keep: bool = False
    memory: int | None = None

    def check_memory(self, source: str, least: int) -> None:
        """Check that the memory can be limited, if it is.

        ``least``: the MB that one process needs, whatever it reads.

        Raises:
            UsageError: the source is no folder, or the memory is too small.
        """
        from fhircryo.sources.places import server_of

        if self.memory is None:
            return
        if server_of(source) is not None:
            raise UsageError("--memory needs a folder as SOURCE")
        needed = least * (self.workers or 1)
        if self.memory < needed * 10**6:
            fewer = ", or fewer --workers" if self.workers > 1 else ""
            raise UsageError(
                f"--memory {self.memory // 10**6}MB is too small for any SOURCE: name at least"
                f" {needed}MB{fewer}"
            )

    def worker_count(self, source: str) -> int:
        """The number of processes that read and compute a source."""
        from fhircryo.runs.workload import workers_for

        return self.workers or workers_for(source, self.memory)

    def bulk_export(self, source: str, place: Path, stage: "Stage | None") -> "Bulk | None":
        """The bulk export by which the source is read; None if it is not read by one.

        ``place``: the target's folder, beside which the exported files are kept.

        Raises:
            UsageError: the options contradict each other, or SOURCE is a folder.
        """
        if self.bulk is None:
            if self.keep:
                raise UsageError("--keep is for the files of --bulk; add --bulk")
            return None
        from fhircryo.fhir.bulk.exporting import Watch
        from fhircryo.sources.bulk_source import Bulk, check_keep, level_of
        from fhircryo.sources.places import server_of

        if server_of(source) is None:
            raise UsageError("--bulk needs a FHIR server as SOURCE; a folder is read directly")
        watch = Watch() if stage is None else Watch(tell=stage)
        return Bulk(level_of(self.bulk), watch, check_keep(place) if self.keep else None)


def scheduled_settings(config: Path | None, bulk: str | None = None) -> "RunConfig":
    """Return the configuration of a scheduled run for all patients: the settings, as of today.

    ``config``: the settings file. ``bulk``: replaces the setting ``sync.bulk``.

    Raises:
        UsageError: a setting is wrong.
    """
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import load_settings

    settings = load_settings(config)
    if bulk is not None:
        from fhircryo.sources.bulk_source import level_of

        sync = settings.sync.model_copy(update={"bulk": level_of(bulk)})
        settings = settings.model_copy(update={"sync": sync})
    return RunConfig.of(settings, date.today())


def with_patients(
    config: "RunConfig", patients: str | None = None, exclude: Path | None = None
) -> "RunConfig":
    """Return the configuration of a scheduled run for the patients that it follows.

    ``patients``, ``exclude``: replace the settings ``sync.patients`` and ``sync.exclude``.

    Raises:
        UsageError: a list cannot be read.
        SourceError: the Group cannot be read from the source.
    """
    sync = config.settings.sync
    selection = _selection(
        config.settings, sync.source or "", patients or sync.patients, exclude or sync.exclude
    )
    return replace(config, selection=selection)


def _selection(
    settings: "Settings", source: str, patients: str | None, exclude: Path | None
) -> "Selection":
    """The patients who were requested, and those who objected."""
    from fhircryo.record.patient_list import read_patient_list
    from fhircryo.record.patients import Selection

    include = None
    if patients:
        from fhircryo.sources.groups import patients_of

        include = patients_of(source, patients, settings.source)
    return Selection(include, read_patient_list(exclude) if exclude else frozenset())
