"""Cohort folders of several hospitals as one folder: tables, rates and a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fhircryo import __version__
from fhircryo.errors import UsageError
from fhircryo.mapping.load import protocol_files
from fhircryo.publish.folder_target import check_target, writing_to
from fhircryo.research.cohort_manifest import protocol_identity
from fhircryo.research.columns import tables
from fhircryo.research.folder_options import (
    CSV,
    DICTIONARY,
    FIGURES,
    MANIFEST,
    PACKAGE,
    PARQUET,
    TABLES,
)
from fhircryo.research.patient_columns import optional_columns
from fhircryo.research.pool.pooled_tables import pooled_tables
from fhircryo.research.pool.results import pooled_results, shared_pseudonyms
from fhircryo.research.pool.site import Site, SiteManifest, read_manifest, read_site
from fhircryo.research.quoting import plain
from fhircryo.research.stored_table import StoredTable
from fhircryo.research.written_files import write_figures, write_json, write_tables
from fhircryo.runs.run_config import RunConfig

#: The formats of pooled tables.
POOL_FORMATS = (CSV, PARQUET)
REPORT = "pool.html"
#: All files and folders that a run can have written; an earlier run's are replaced.
OWN = frozenset(
    {MANIFEST, REPORT, FIGURES, PACKAGE, DICTIONARY}
    | {f"{name}.{kind}" for name in TABLES for kind in POOL_FORMATS}
)


class Pooled(msgspec.Struct, frozen=True):
    """What was pooled; ``shared``: how many pseudonyms occur at several sites."""

    sites: tuple[Site, ...]
    shared: int


def read_manifests(
    folders: Sequence[Path], names: Sequence[str], out: Path
) -> tuple[SiteManifest, ...]:
    """Read the manifests of the sites' folders; they are of one protocol.

    ``names``: of the sites; empty: those of the folders. ``out``: the folder to write to.

    Raises:
        UsageError: folders cannot be pooled, or names do not tell them apart.
    """
    _check_folders(folders, out)
    if names and len(names) != len(folders):
        raise UsageError(
            f"--name: {len(names)} names for {len(folders)} folders; give one for each"
        )
    # A name is outside text; everything that is written has it as it can be shown.
    shown = [plain(name) for name in names or (folder.resolve().name for folder in folders)]
    if not all(shown):
        raise UsageError("--name: a site without a name; name each folder")
    if len({name.casefold() for name in shown}) < len(shown):
        raise UsageError(
            f"the sites' names are not distinct ({', '.join(shown)}); name each folder by --name"
        )
    manifests = [read_manifest(*pair) for pair in zip(shown, folders, strict=True)]
    for manifest in manifests[1:]:
        _check_same_protocol(manifests[0], manifest)
    return tuple(manifests)


def shipped_protocol(manifests: Sequence[SiteManifest]) -> str:
    """Return the name of the sites' protocol.

    What a site's manifest says is looked up among the shipped ones, and never opened as a file.

    Raises:
        UsageError: no protocol of this name is shipped.
    """
    name = manifests[0].protocol[0]
    known = [file.stem for file in protocol_files()]
    if name not in known:
        raise UsageError(
            f"the sites' protocol {name!r} is none of the shipped ones ({', '.join(known)}); name"
            " its file by --protocol, and an overlay that changes it by --mappings"
        )
    return name


@dataclass(frozen=True)
class PoolFormats:
    """The formats of the tables and of the figures."""

    tables: tuple[str, ...]
    figures: tuple[str, ...]


def pool(
    manifests: Sequence[SiteManifest], out: Path, formats: PoolFormats, config: RunConfig
) -> Pooled:
    """Pool sites and write the folder: all files, or none if anything fails.

    ``config``: the protocol of the sites; the latest of their cut-off dates.

    Raises:
        TargetError: the folder cannot be written.
        UsageError: a site's folder is damaged, or the protocol is not that of the sites.
    """
    identity = protocol_identity(config.protocol)
    if tuple(identity.values()) != manifests[0].protocol:
        name, version, _ = manifests[0].protocol
        raise UsageError(
            f"the sites' protocol is {name} {version}, and the one here differs from it: name its"
            " file by --protocol, and an overlay that changes it by --mappings"
        )
    sites = tuple(map(read_site, manifests))
    optional = optional_columns(config.mappings, config.protocol)
    stored = pooled_tables(
        [site for site in sites if site.tables],
        tables(config.mappings, config.protocol),
        frozenset(name for names in optional.values() for name in names),
    )
    pooled = Pooled(sites, shared_pseudonyms(sites))
    with writing_to(out, OWN) as work:
        write_json(work / MANIFEST, _manifest(sites, formats.tables, identity))
        if stored:
            about = config.protocol.id, f"{config.protocol.title}, pooled"
            write_tables(work, list(stored.values()), formats.tables, about)
        _write_report(work, pooled, stored, formats.figures, config)
    return pooled


def _check_folders(folders: Sequence[Path], out: Path) -> None:
    """Raise a UsageError if a folder is named twice, or OUT would change an input."""
    seen: dict[Path, Path] = {}
    for folder in folders:
        place = folder.resolve()
        if place in seen:
            raise UsageError(f"{folder}: the same folder as {seen[place]}; name each site once")
        seen[place] = folder
        if out.resolve() == place or place in out.resolve().parents:
            raise UsageError(
                f"{out}: OUT, the last folder, is {folder} or lies in it; name a new folder"
            )
        check_target(out, folder, own=OWN)


def _check_same_protocol(one: SiteManifest, other: SiteManifest) -> None:
    if one.protocol == other.protocol:
        return
    names = [f"{name} {version}" for name, version, _ in (one.protocol, other.protocol)]
    differs = "other content under the same name" if names[0] == names[1] else " and ".join(names)
    raise UsageError(
        f"{one.folder} and {other.folder}: computed under different protocols ({differs}); have all"
        " hospitals use the same one"
    )


def _manifest(sites: Sequence[Site], formats: Sequence[str], identity: dict[str, str]) -> Any:
    """The manifest as data for JSON; it has no path."""
    with_tables = any(site.tables for site in sites)
    return {
        "fhircryo": __version__,
        "tables": "pseudonymised" if with_tables else "aggregate-only",
        "formats": list(formats) if with_tables else [],
        "protocol": identity,
        "sites": [
            {
                "name": site.name,
                "tables": site.manifest.kind,
                "fhircryo": __version__,
                "as_of": site.manifest.as_of.isoformat(),
                "index_from": site.manifest.index_from or None,
                "index_to": site.manifest.index_to or None,
                "overlays": site.manifest.overlays,
                "patients": site.patients,
            }
            for site in sites
        ],
    }


def _write_report(
    work: Path,
    pooled: Pooled,
    stored: dict[str, StoredTable],
    formats: Sequence[str],
    config: RunConfig,
) -> None:
    from fhircryo.research.report.pool_page import pool_figures, pool_page

    found = pooled_results(pooled.sites, stored, config)
    figures = pool_figures(found, [site.name for site in pooled.sites], config)
    (work / REPORT).write_text(
        pool_page(found, figures, pooled.sites, pooled.shared, config), encoding="utf-8"
    )
    write_figures(work, figures.all, formats)
