"""The tables of several sites as one: pseudonyms apart by site, the columns of all sites."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from msgspec.structs import replace

from fhircryo.errors import UsageError
from fhircryo.research.arrow import conformed
from fhircryo.research.folder_options import TABLES
from fhircryo.research.pool.site import Site
from fhircryo.research.stored_table import StoredTable, in_memory
from fhircryo.research.table import PATIENT, Column, ColumnType, Table

SITE = "site"
#: What stands between the site and the pseudonym.
_SEPARATOR = ":"
_SITE_COLUMN = Column(SITE, ColumnType.TEXT, "The site that the row comes from", required=True)
_PATIENT_WORDS = "The patient: the site, a colon and the site's pseudonym"


def pooled_tables(
    sites: Sequence[Site], expected: Mapping[str, Table], optional: frozenset[str]
) -> dict[str, StoredTable]:
    """The tables of sites by name; empty without sites.

    ``expected``: the tables of this version with all columns that they can have; ``optional``: the
    columns of the table of patients that a site may lack.

    Raises:
        UsageError: a site's table lacks a column, or has a row twice, or sites do not agree.
    """
    if not sites:
        return {}
    _check_patients(sites)
    pooled = {}
    for name in TABLES:
        own = expected[name].without_identifying()
        for site in sites:
            _check_columns(site, own, optional)
        columns = _with_site(_joined_columns(own, sites))
        parts = [conformed(_of_site(site, site.tables[name]), columns) for site in sites]
        pooled[name] = in_memory(columns, *parts)
    return pooled


def _check_patients(sites: Sequence[Site]) -> None:
    """Raise a UsageError if a site has a patient twice, or two sites are one."""
    for number, site in enumerate(sites):
        patients = site.tables["patients"]
        if len(set(patients[PATIENT].to_pylist())) != len(patients):
            raise UsageError(f"{site.manifest.folder}: a patient has several rows in patients")
        for other in sites[:number]:
            # Two hospitals can have the same pseudonym, but not the same patients.
            if len(patients) and patients.equals(other.tables["patients"]):
                raise UsageError(
                    f"{site.manifest.folder}: has the same patients as {other.manifest.folder}; is"
                    " it a copy?"
                )


def _check_columns(site: Site, own: Table, optional: frozenset[str]) -> None:
    """Raise a UsageError if a site's table is not one of this version."""
    found = {column.name: column for column in site.columns[own.name].columns}
    where = f"{site.manifest.folder}: the table {own.name}"
    for column in own.columns:
        there = found.pop(column.name, None)
        if there is None:
            if own.name == "patients" and column.name in optional:
                continue
            raise UsageError(f"{where} lacks the column {column.name}; was it edited?")
        if (there.type, there.unit) != (column.type, column.unit):
            raise UsageError(f"{where}: {column.name} is not of the type {column.type}")
    # Instruments of a site's overlay have columns in the table of patients only.
    if found and (own.name != "patients" or SITE in found):
        raise UsageError(f"{where} has other columns than this version's: {', '.join(found)}")


def _joined_columns(own: Table, sites: Sequence[Site]) -> Table:
    """The columns that any site has, those of this version first.

    Raises:
        UsageError: sites do not agree on the type or the order of a column.
    """
    described = [site.columns[own.name] for site in sites]
    of_sites = [{column.name: column for column in table.columns} for table in described]
    names = dict.fromkeys([*own.names(), *(name for table in described for name in table.names())])
    words = {column.name: column.words for column in own.columns}
    columns = []
    for name in names:
        having = [(site, of[name]) for site, of in zip(sites, of_sites, strict=True) if name in of]
        if not having:
            continue
        (_, first), *others = having
        joined = first
        for site, column in others:
            joined = _joined(joined, column, f"{site.manifest.folder}: {own.name}: {name}")
        required = joined.required and len(having) == len(sites)
        described_as = words.get(name, joined.words)
        columns.append(replace(joined, words=described_as, required=required))
    return replace(own, columns=tuple(columns))


def _joined(one: Column, other: Column, where: str) -> Column:
    if (one.type, one.unit, one.ordered) != (other.type, other.unit, other.ordered):
        raise UsageError(f"{where}: of another type or unit than at the sites before")
    if one.ordered and one.levels != other.levels:
        raise UsageError(f"{where}: other grades, or another order, than at the sites before")
    levels = tuple(dict.fromkeys((*one.levels, *other.levels)))
    return replace(one, levels=levels, required=one.required and other.required)


def _with_site(table: Table) -> Table:
    """The columns of a pooled table."""
    if PATIENT not in table.names():
        return replace(table, columns=(_SITE_COLUMN, *table.columns), key=(SITE, *table.key))
    columns: list[Column] = []
    for column in table.columns:
        if column.name == PATIENT:
            columns += [replace(column, words=_PATIENT_WORDS), _SITE_COLUMN]
        else:
            columns.append(column)
    return replace(table, columns=tuple(columns))


def _of_site(site: Site, part: pa.Table) -> pa.Table:
    """The rows of a site, with its name."""
    names = pa.array([site.name] * len(part), pa.string())
    if PATIENT in part.column_names:
        number = part.column_names.index(PATIENT)
        patients = [f"{site.name}{_SEPARATOR}{one}" for one in part[PATIENT].to_pylist()]
        part = part.set_column(number, PATIENT, pa.array(patients, pa.string()))
    return part.append_column(SITE, names)
