"""Forest plots of rates: each site, all patients, and the random-effects model."""

from collections.abc import Iterator, Sequence

from fhircryo.research.pool.results import PooledRate
from fhircryo.research.report import vega
from fhircryo.research.report.figure import BLACK, BLUE, WIDTH, Figure, as_csv, shortened
from fhircryo.research.report.number_format import percent, proportion
from fhircryo.research.statistics.proportions import Proportion

_COLUMNS = ("row", "site", "successes", "n", "share", "lower_95", "upper_95")
_LONGEST_NAME = 24
_TOTAL, _MODEL = "All patients", "Random effects"
_ROW = 24
#: The signs of the rows: of a site, of all patients, of the model.
_SIGNS = {
    "site": {"shape": "square", "color": BLUE},
    "total": {"shape": "square", "color": BLACK},
    "model": {"shape": "diamond", "color": BLACK},
}


def forest_figure(found: PooledRate, sites: Sequence[str]) -> Figure | None:
    """The forest plot of a rate; None if no site shows it."""
    shown = [
        (name, one)
        for name, one in zip(sites, found.counted, strict=True)
        if one is not None and one.share is not None
    ]
    if not shown or found.total is None:
        return None
    names = shortened((site for site, _ in shown), _LONGEST_NAME)
    rows = [
        *(_row("site", name, one) for name, (_, one) in zip(names, shown, strict=True)),
        _row("total", _TOTAL, found.total),
    ]
    model = found.combined
    if model is not None:
        rows.append(("model", _MODEL, model.estimate, model.lower, model.upper))
    words = [f"{site} {proportion(one)}: {percent(one)}" for site, one in shown]
    alt = "; ".join(["Forest plot", *words, f"{_TOTAL} {percent(found.total)}"])
    caption = (
        f"Rate in {len(shown)} {'site' if len(shown) == 1 else 'sites'} and in all patients, with"
        " 95 % confidence intervals (Wilson)"
        + ("" if model is None else "; diamond: the random-effects model")
        + "."
    )
    data = as_csv(_COLUMNS, _rows(found, sites))
    return Figure(f"forest-{found.key}", found.words, alt, caption, _drawn(rows), data)


_Row = tuple[str, str, float | None, float | None, float | None]


def _row(kind: str, name: str, one: Proportion) -> _Row:
    return kind, f"{name}  {proportion(one)}", one.share, one.lower, one.upper


def _drawn(rows: Sequence[_Row]) -> vega.Spec:
    per_cent = [
        (kind, name, *(None if one is None else 100 * one for one in numbers))
        for kind, name, *numbers in rows
    ]
    names = {"domain": [row[1] for row in rows]}
    x = vega.number(
        "share", "Per cent of patients", scale={"domain": [0, 100]}, axis={"tickCount": 10}
    )
    y = vega.name("name", scale=names, axis={"grid": False, "ticks": False, "domain": False})
    kinds = list(_SIGNS)
    colour, shape = (
        vega.name(
            "kind",
            scale={"domain": kinds, "range": [_SIGNS[kind][sign] for kind in kinds]},
            legend=None,
        )
        for sign in ("color", "shape")
    )
    tooltip = vega.told(name="Site", share="Per cent", lower="95 % from", upper="95 % to")
    return vega.drawing(
        width=WIDTH - 140,
        height=_ROW * len(rows),
        data=vega.rows(("kind", "name", "share", "lower", "upper"), per_cent),
        transform=[{"filter": "isValid(datum.share)"}],
        layer=[
            {
                "mark": {"type": "rule", "strokeWidth": 1.5},
                "encoding": {
                    "x": {**x, "field": "lower"},
                    "x2": {"field": "upper"},
                    "y": y,
                    "color": colour,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": colour, "shape": shape, "tooltip": tooltip},
            },
        ],
    )


def _rows(
    found: PooledRate, sites: Sequence[str]
) -> Iterator[tuple[str, str, int | None, int | None, float | None, float | None, float | None]]:
    for site, one in zip(sites, found.counted, strict=True):
        yield "site", site, *_cells(one)
    yield "total", "", *_cells(found.total)
    model = found.combined
    if model is not None:
        yield "random-effects", "", None, None, model.estimate, model.lower, model.upper


def _cells(
    one: Proportion | None,
) -> tuple[int | None, int | None, float | None, float | None, float | None]:
    if one is None:
        return None, None, None, None, None
    return one.successes, one.n, one.share, one.lower, one.upper
