"""A hospital's cohort folder as it was written: checked, and read back."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from fhircryo import __version__
from fhircryo.errors import UsageError
from fhircryo.research.folder_options import FLOW, MANIFEST, PACKAGE, RATES, TABLES
from fhircryo.research.package import described_tables
from fhircryo.research.rates import Rate
from fhircryo.research.statistics.proportions import proportion
from fhircryo.research.table import Table
from fhircryo.research.table_files import read_table
from fhircryo.storage.json_files import read_json


@dataclass(frozen=True)
class SiteManifest:
    """What the manifest of a site's folder says.

    ``name``: of the site. ``index_from``, ``index_to``: the limits of the index dates, empty if
    there is none. ``overlays``: how many overlays the site's mappings have. ``protocol``: its id,
    version and hash.
    """

    name: str
    folder: Path
    kind: str
    as_of: date
    index_from: str
    index_to: str
    overlays: int
    protocol: tuple[str, str, str]


@dataclass(frozen=True)
class Site:
    """A site. ``patients``: None if too few to be shown.

    ``rates``: of an aggregate-only site, those that it shows. ``columns``, ``tables``: of a site
    with tables, by name.
    """

    manifest: SiteManifest
    patients: int | None
    rates: tuple[Rate, ...] = ()
    columns: dict[str, Table] = field(default_factory=dict)
    tables: dict[str, pa.Table] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the site."""
        return self.manifest.name


def read_manifest(name: str, folder: Path) -> SiteManifest:
    """Read the manifest of a site's folder.

    Raises:
        UsageError: it is not a folder of this version's ``cohort`` that can be pooled.
    """
    content = _json(folder, MANIFEST)
    if not isinstance(content, dict) or "tables" not in content or "fhircryo" not in content:
        raise UsageError(f"{folder}: not a folder that fhircryo cohort wrote")
    if "sites" in content:
        raise UsageError(f"{folder}: already pooled; name the folders that it was made of")
    kind, version = content["tables"], content["fhircryo"]
    if kind == "identified":
        raise UsageError(
            f"{folder}: identified tables are not pooled; have the hospital write pseudonymised"
            " ones: fhircryo cohort without --identified"
        )
    if version != __version__:
        raise UsageError(
            f"{folder}: written by fhircryo {version}, and this is {__version__}; definitions may"
            " differ: have all hospitals run the same version"
        )
    try:
        protocol = content["protocol"]
        return SiteManifest(
            name,
            folder,
            {"pseudonymised": "pseudonymised", "aggregate-only": "aggregate-only"}[kind],
            date.fromisoformat(content["as_of"]),
            content["index_from"] or "",
            content["index_to"] or "",
            int(content["mappings"]["overlays"]),
            (str(protocol["id"]), str(protocol["version"]), str(protocol["sha256"])),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{folder / MANIFEST}: damaged: {error!r}") from error


def read_site(manifest: SiteManifest) -> Site:
    """Read the tables of a site's folder, or the rates of one that has no tables.

    Raises:
        UsageError: a file is missing or damaged.
    """
    folder = manifest.folder
    if manifest.kind == "aggregate-only":
        return _aggregate(manifest)
    try:
        columns = described_tables(_json(folder, PACKAGE))
    except ValueError as error:
        raise UsageError(f"{folder / PACKAGE}: damaged: {error}") from error
    tables: dict[str, pa.Table] = {}
    for name in TABLES:
        if name not in columns:
            raise UsageError(f"{folder / PACKAGE}: the table {name} is missing")
        try:
            read = read_table(folder, columns[name])
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder}: the table {name} cannot be read: {error}") from error
        if read is None:
            raise UsageError(
                f"{folder}: the table {name} is missing; it is needed as {name}.parquet or"
                f" {name}.csv (fhircryo cohort --format)"
            )
        tables[name] = read
    return Site(manifest, len(tables["patients"]), columns=columns, tables=tables)


def _aggregate(manifest: SiteManifest) -> Site:
    """A site that shows numbers only."""
    found = _json(manifest.folder, RATES)
    flow = _json(manifest.folder, FLOW)
    try:
        rates = tuple(
            Rate(str(one["key"]), str(one["words"]), _counted(one["successes"], one["n"]))
            for one in found["rates"]
        )
        cohort = flow["cohort"]
        return Site(manifest, None if cohort is None else int(cohort), rates)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{manifest.folder / RATES}: damaged: {error!r}") from error


def _counted(successes: Any, n: Any) -> Any:
    if successes is None and n is None:
        return None
    if type(successes) is not int or type(n) is not int or not 0 <= successes <= n:
        raise ValueError(f"{successes!r} of {n!r} is no rate")
    return proportion(successes, n)


def _json(folder: Path, name: str) -> Any:
    try:
        return read_json(folder / name)
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder}: not a folder that fhircryo cohort wrote: it has no {name}"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / name}: cannot be read: {error}") from error
