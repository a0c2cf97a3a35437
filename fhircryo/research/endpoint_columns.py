"""The columns of an endpoint in the table of patients, and their cells, by type of value.

``endpoints.value_types`` says which details the tables hold of a type; here stands what each detail
is in a table. A new type of value that uses these details needs no change here.
"""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, NamedTuple

from fhircryo.endpoints.catalogue import BIOCHEMICAL_FAILURE, CATALOGUE, DISEASE_FREE, Endpoint
from fhircryo.endpoints.complications import NO_COMPLICATION
from fhircryo.endpoints.result import ComponentKey, Result
from fhircryo.endpoints.value_types import Detail, ValueForm, ValueType
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import SalvageRule
from fhircryo.research.cells import Row, as_float, component_value, days_of
from fhircryo.research.table import DAYS_UNIT, Column, ColumnType, reason_column, snake

#: The endpoints that have one column of values in the table of patients.
OF_PATIENTS = tuple(endpoint for endpoint in CATALOGUE if not endpoint.per_instrument)
#: The endpoints that survival curves are drawn of.
TIMES_TO_EVENT = tuple(endpoint for endpoint in OF_PATIENTS if endpoint.value_type.is_time_to_event)

#: How a number that is only a limit compares with it.
COMPARATORS = ("<", "<=", ">", ">=")

_TYPES = {
    ValueForm.YES_NO: ColumnType.BOOLEAN,
    ValueForm.GRADE: ColumnType.CATEGORY,
    ValueForm.COUNT: ColumnType.INTEGER,
    ValueForm.QUANTITY: ColumnType.NUMBER,
}


class _DetailColumn(NamedTuple):
    """How a detail becomes a column, and a result its cell; ``words`` follow the endpoint's key."""

    column: Callable[[Endpoint, str], Column]
    cell: Callable[[Result, date], Any]


_DETAILS = {
    Detail.EVENT: _DetailColumn(
        lambda endpoint, name: Column(
            name, ColumnType.BOOLEAN, f"{endpoint.key}: the event happened (false: censored)"
        ),
        lambda result, _: component_value(result, ComponentKey.EVENT),
    ),
    Detail.HIGH: _DetailColumn(
        lambda endpoint, name: Column(
            name,
            ColumnType.INTEGER,
            f"Upper bound of {endpoint.key}, which is then the lower one; empty where the time is"
            " known to the day",
            DAYS_UNIT,
        ),
        lambda result, _: result.high,
    ),
    Detail.COMPARATOR: _DetailColumn(
        lambda endpoint, name: Column(
            name,
            ColumnType.CATEGORY,
            f"Whether {endpoint.key} is only a limit",
            levels=COMPARATORS,
        ),
        lambda result, _: result.comparator or None,
    ),
    Detail.REASON: _DetailColumn(
        lambda endpoint, name: reason_column(name, f"Why {endpoint.key} is absent"),
        lambda result, _: result.reason,
    ),
    Detail.DAYS: _DetailColumn(
        lambda endpoint, name: Column(
            name,
            ColumnType.INTEGER,
            f"Day that {endpoint.key} is dated by, from index",
            DAYS_UNIT,
        ),
        days_of,
    ),
    Detail.UNGRADED: _DetailColumn(
        lambda endpoint, name: Column(
            name,
            ColumnType.INTEGER,
            f"{endpoint.key}: attributed events that carry no grade of this scale",
        ),
        lambda result, _: (
            None if result.value is None else component_value(result, ComponentKey.UNGRADED) or 0
        ),
    ),
}


def units() -> tuple[str, ...]:
    """The UCUM units of the catalogue's values, each once, in catalogue order."""
    found = (endpoint.value_type.unit for endpoint in CATALOGUE)
    return tuple(dict.fromkeys(unit for unit in found if unit))


def grade_levels(mappings: Mappings, scale: str) -> tuple[str, ...]:
    """The grades of a scale, mildest first, preceded by that of no complication."""
    return (NO_COMPLICATION, *mappings.scales[scale].order)


def detail_column(endpoint: Endpoint, detail: Detail) -> str:
    """The name of the column of an endpoint's detail."""
    return f"{snake(endpoint.key)}_{detail}"


def death_column(endpoint: Endpoint) -> str:
    """The column that says whether a death ended a time."""
    return f"{snake(endpoint.key)}_death"


def rule_column(rule: SalvageRule) -> str:
    """The column of disease-free at the landmark under a rule for salvage therapy."""
    return f"{snake(DISEASE_FREE.key)}_salvage_{rule}"


#: The column of biochemical failure where a later PSA result has to confirm it.
CONFIRMED_FAILURE = f"{snake(BIOCHEMICAL_FAILURE.key)}_confirmed"


def endpoint_columns(endpoint: Endpoint, mappings: Mappings) -> Iterable[Column]:
    """The column of an endpoint's value, and the columns of its details."""
    value_type = endpoint.value_type
    graded = value_type.form is ValueForm.GRADE
    yield Column(
        snake(endpoint.key),
        _column_type(value_type),
        endpoint.words,
        value_type.unit,
        levels=grade_levels(mappings, endpoint.scale) if graded else (),
        ordered=graded,
    )
    for detail in value_type.details:
        yield _DETAILS[detail].column(endpoint, detail_column(endpoint, detail))


def endpoint_cells(result: Result, d0: date) -> Row:
    """The cells of a result in the columns of its endpoint."""
    key = result.endpoint.key
    cells = _CELLS.get(key)
    if cells is None:
        cells = _CELLS[key] = _cells_of(result.endpoint)
    row: Row = {cells.name: as_float(result.value) if cells.is_number else result.value}
    for name, cell in cells.details:
        row[name] = cell(result, d0)
    return row


class _Cells(NamedTuple):
    """How the cells of an endpoint are named and made."""

    name: str
    is_number: bool
    details: tuple[tuple[str, Callable[[Result, date], Any]], ...]


#: By the endpoint's key, because every patient has a result of every endpoint.
_CELLS: dict[str, _Cells] = {}


def _cells_of(endpoint: Endpoint) -> _Cells:
    return _Cells(
        snake(endpoint.key),
        _column_type(endpoint.value_type) is ColumnType.NUMBER,
        tuple(
            (detail_column(endpoint, detail), _DETAILS[detail].cell)
            for detail in endpoint.value_type.details
        ),
    )


def _column_type(value_type: ValueType) -> ColumnType:
    return ColumnType.INTEGER if value_type.whole else _TYPES[value_type.form]
