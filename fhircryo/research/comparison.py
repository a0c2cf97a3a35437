"""Groups of a cohort beside each other: baseline, rates, times to event, Cox's model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import MAJOR_CLAVIEN, Endpoint
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.value_types import Detail
from fhircryo.errors import UsageError
from fhircryo.research.baseline_summary import BaselineRow, baseline_summary
from fhircryo.research.endpoint_columns import TIMES_TO_EVENT, detail_column, rule_column
from fhircryo.research.evaluable import lacks_type
from fhircryo.research.grouping import Grouping
from fhircryo.research.intervals import midpoints
from fhircryo.research.statistics.groups import CoxModel, cox, log_rank
from fhircryo.research.statistics.kaplan_meier import Curve, kaplan_meier
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.table import ColumnType, Table, snake
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

#: What stands between a covariate and its level.
_SEPARATOR = ": "


class GroupRate(msgspec.Struct, frozen=True):
    """A proportion in each group, in the order of the groups.

    ``column``: of the table of patients, true or false. ``p``: of the log-rank test, where the
    proportion is of patients with an event.
    """

    words: str
    column: str
    counted: tuple[Proportion | None, ...]
    p: float | None = None


class GroupedTime(msgspec.Struct, frozen=True):
    """A time to event in each group; ``p``: of the log-rank test, None where it cannot be made.

    ``model``: Cox's model, None without covariates.
    """

    endpoint: Endpoint
    words: str
    curves: tuple[Curve, ...]
    p: float | None
    model: CoxModel | None


class Comparison(msgspec.Struct, frozen=True):
    """A cohort by group. ``baseline``: for each group; ``covariates``: of Cox's model."""

    grouping: Grouping
    patients: tuple[int, ...]
    baseline: tuple[tuple[BaselineRow, ...], ...]
    rates: tuple[GroupRate, ...]
    times: tuple[GroupedTime, ...]
    covariates: tuple[str, ...] = ()


def compare(
    patients: "pd.DataFrame",
    grouping: Grouping,
    columns: Table,
    config: RunConfig,
    covariates: Sequence[str] = (),
) -> Comparison:
    """Compare the groups of a cohort.

    ``columns``: of the table of patients. ``covariates``: its columns that Cox's model has beside
    the groups.

    Raises:
        UsageError: a covariate is no column that has numbers or few levels.
    """
    of = [patients[[one == group for one in grouping.of]] for group in grouping.groups]
    shares = (
        (
            f"Disease-free at {config.protocol.disease_free.landmark_months} months",
            rule_column(config.protocol.salvage_therapy),
        ),
        (label(MAJOR_CLAVIEN, config.protocol), snake(MAJOR_CLAVIEN.key)),
        ("Salvage therapy", "salvage_therapy"),
    )
    return Comparison(
        grouping,
        tuple(map(len, of)),
        tuple(baseline_summary(group) for group in of),
        tuple(
            GroupRate(words, column, tuple(_share(group, column) for group in of))
            for words, column in shares
            if f"{column}_{Detail.REASON}" not in patients or not lacks_type(patients, column)
        ),
        tuple(
            _time(patients, endpoint, grouping, columns, config, covariates)
            for endpoint in TIMES_TO_EVENT
            if not lacks_type(patients, snake(endpoint.key))
        ),
        tuple(covariates),
    )


def _share(patients: "pd.DataFrame", column: str) -> Proportion | None:
    known = patients[column].dropna()
    return proportion(int(known.sum()), len(known))


def _time(
    patients: "pd.DataFrame",
    endpoint: Endpoint,
    grouping: Grouping,
    columns: Table,
    config: RunConfig,
    covariates: Sequence[str],
) -> GroupedTime:
    time, event = snake(endpoint.key), detail_column(endpoint, Detail.EVENT)
    timed = patients[time].notna() & patients[event].notna()
    known = [bool(one) and group is not None for one, group in zip(timed, grouping.of, strict=True)]
    chosen = patients[known]
    groups = [str(one) for one, is_known in zip(grouping.of, known, strict=True) if is_known]
    days = midpoints(chosen[time], chosen[detail_column(endpoint, Detail.HIGH)])
    events = [bool(happened) for happened in chosen[event]]
    curves = []
    for group in grouping.groups:
        mine = [number for number, one in enumerate(groups) if one == group]
        curves.append(kaplan_meier([days[one] for one in mine], [events[one] for one in mine]))
    model = None
    if covariates:
        model = cox(days, events, _design(chosen, groups, grouping, columns, covariates))
    words = label(endpoint, config.protocol)
    return GroupedTime(endpoint, words, tuple(curves), log_rank(days, events, groups), model)


def _design(
    patients: "pd.DataFrame",
    groups: Sequence[str],
    grouping: Grouping,
    columns: Table,
    covariates: Sequence[str],
) -> "pd.DataFrame":
    """The covariates as numbers; of a category, whether a patient has each level but the first."""
    import pandas as pd

    design: dict[str, pd.Series[float]] = {}
    series = pd.Series(list(groups), index=patients.index)
    for group in grouping.groups[1:]:
        words = f"{grouping.words}{_SEPARATOR}{group} (to {grouping.groups[0]})"
        design[words] = (series == group).astype(float)
    types = {column.name: column for column in columns.columns}
    for name in covariates:
        column = types.get(name)
        if column is None or name not in patients or column.type is ColumnType.DATE:
            raise UsageError(f"--covariates {name}: the table of patients has no such covariate")
        values = patients[name]
        if column.type in (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.BOOLEAN):
            design[name] = values.astype("Float64")
            continue
        levels = [
            one for one in column.levels or sorted(set(values.dropna())) if (values == one).any()
        ]
        for level in levels[1:]:
            having = (values.astype(object) == level).astype(float)
            design[f"{name}{_SEPARATOR}{level} (to {levels[0]})"] = having.where(values.notna())
    return pd.DataFrame(design)
