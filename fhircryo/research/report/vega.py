"""Drawings in Vega-Lite: their parts, how files are rendered, and the library for browsers.

vl-convert holds Vega and a JavaScript engine; it is imported only where something is drawn. It
reads nothing from the network or from files.
Source: Satyanarayan et al., IEEE Trans Vis Comput Graph 2017;23(1):341-50,
https://vega.github.io/vega-lite/docs/
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from fhircryo.research.quoting import plain

Spec = dict[str, Any]

_VERSION = "6.4"
#: Journals ask for 300 dots per inch.
_DOTS_PER_INCH = 300
_INK, _GRID, _SIZE = "#222222", "#e6e6e6", 11
#: The layers of this name take the pointer: they are not drawn in files.
_HOVER = "hover"
#: The parameter of the drawings that show patients.
HIGHLIGHTED = "patient"
#: Letters of a text that is drawn.
_LONGEST_TEXT = 200
_AXIS = {
    "labelColor": _INK,
    "titleColor": _INK,
    "domainColor": _INK,
    "tickColor": _INK,
    "gridColor": _GRID,
    "labelFontSize": _SIZE,
    "titleFontSize": _SIZE,
    "titleFontWeight": "normal",
    "labelLimit": 260,
}
_LEGEND = {
    "orient": "top",
    "direction": "horizontal",
    "title": None,
    "labelFontSize": _SIZE,
    "labelColor": _INK,
    "symbolType": "stroke",
    "symbolSize": 300,
    "labelLimit": 260,
    "columns": 3,
}
#: The style of all drawings.
_CONFIG: Spec = {
    "background": "white",
    "font": "Arial, Liberation Sans, Helvetica, sans-serif",
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": _LEGEND,
    "text": {"fontSize": _SIZE, "color": _INK},
    "title": {"fontSize": _SIZE, "fontWeight": "normal", "color": _INK},
}


def drawing(**parts: Any) -> Spec:
    """A drawing in the style of the reports, whose texts can come from outside.

    They are shown as they are: the renderer ends the whole process on a character that XML does not
    have, and takes long to measure a long text.
    """
    return {"config": _CONFIG, **{name: _shown(part) for name, part in parts.items()}}


def _shown(part: Any) -> Any:
    """A part of a drawing; numbers keep five decimals."""
    if isinstance(part, str):
        text = plain(part)
        return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    if isinstance(part, float):
        return round(part, 5)
    if isinstance(part, dict):
        # An expression is our own.
        return {name: one if name == "expr" else _shown(one) for name, one in part.items()}
    return [_shown(one) for one in part] if isinstance(part, list | tuple) else part


def rows(names: Sequence[str], values: Iterable[Sequence[Any]]) -> Spec:
    """Data from rows."""
    return {"values": [dict(zip(names, row, strict=True)) for row in values]}


def number(field: str, title: str | None = None, **more: Any) -> Spec:
    """The encoding of a number on an axis; without a title, the axis has none."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def name(field: str, title: str | None = None, **more: Any) -> Spec:
    """The encoding of a name, in the order of the rows."""
    return {"field": field, "type": "nominal", "sort": None, "title": title, **more}


def told(**words: str) -> Spec:
    """What the pointer shows: the values of fields, each with its words."""
    # Where the nearest point takes the pointer, a row stands in the datum of the point.
    row = "(datum.datum || datum)"
    values = ", ".join(
        f"'{title}': isNumber({row}.{field}) ? format({row}.{field}, ',.4~r') : {row}.{field}"
        for field, title in words.items()
    )
    return {"value": {"expr": f"{{{values}}}"}}


def highlight() -> Spec:
    """The parameter that names the patient who is highlighted; empty: nobody."""
    return {"name": HIGHLIGHTED, "value": ""}


def unless_other(pale: float, full: float) -> Spec:
    """The opacity of what is drawn of a patient: pale if another patient is highlighted."""
    other = f"{HIGHLIGHTED} !== '' && datum.patient !== {HIGHLIGHTED}"
    return {"condition": {"test": other, "value": pale}, "value": full}


def hover(encoding: Mapping[str, Any], tooltip: Spec, **more: Any) -> Spec:
    """A layer in which the point nearest to the pointer is marked, and its values shown."""
    seen = {"type": "point", "nearest": True, "on": "pointermove", "clear": "pointerout"}
    return {
        "name": _HOVER,
        "mark": {"type": "point", "filled": True, "size": 60, "color": _INK},
        "params": [{"name": "near", "select": seen}],
        "encoding": {
            **encoding,
            "opacity": {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0},
            "tooltip": tooltip,
        },
        **more,
    }


def _still(spec: Any) -> Any:
    """A drawing without the layers that take the pointer."""
    if isinstance(spec, list):
        return [_still(one) for one in spec if not (isinstance(one, dict) and _is_hover(one))]
    if not isinstance(spec, dict):
        return spec
    return {key: one if key in ("data", "config") else _still(one) for key, one in spec.items()}


def _is_hover(spec: Spec) -> bool:
    return spec.get("name") == _HOVER


def as_svg(spec: Spec) -> bytes:
    """Render a drawing as SVG."""
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(_still(spec), vl_version=_VERSION, allowed_base_urls=[])
    return text.encode()


def as_png(spec: Spec) -> bytes:
    """Render a drawing as PNG."""
    import vl_convert

    image: bytes = vl_convert.vegalite_to_png(
        _still(spec), vl_version=_VERSION, ppi=_DOTS_PER_INCH, allowed_base_urls=[]
    )
    return image


@cache
def library() -> str:
    """The JavaScript library that draws the figures in a browser, as the text of a script."""
    import vl_convert

    text: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VERSION)
    # A module has a scope of its own, and nothing in it ends the element that it stands in.
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
