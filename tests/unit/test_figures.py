"""Figures: what is drawn, for any text and number; files that are the same for the same numbers."""

import json
from itertools import pairwise
from xml.etree import ElementTree

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhircryo.endpoints.catalogue import OVERALL_SURVIVAL
from fhircryo.mapping.load import load_mappings
from fhircryo.record.items import EventKind
from fhircryo.research.comparison import GroupedTime
from fhircryo.research.complication_summary import AttributedKind
from fhircryo.research.report import vega
from fhircryo.research.report.courses import nadir_figure, psa_figure, waterfall_figure
from fhircryo.research.report.curves import grouped_figure, survival_figure
from fhircryo.research.report.figure import shortened, thinned
from fhircryo.research.report.single_figures import (
    MOST_SWIMMERS,
    complications_figure,
    swimmer_figure,
)
from fhircryo.research.single_patients import Swimmer, psa_changes, swimmers
from fhircryo.research.statistics.kaplan_meier import Curve
from fhircryo.research.survival import Survival

PSA = st.floats(0, 1e12, allow_nan=False)


def texts(svg: bytes) -> list[str]:
    """The texts of a drawing."""
    return [text for one in ElementTree.fromstring(svg).iter() if (text := one.text)]


def table(rows: list[tuple[str, int, float, bool]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient", "days", "psa", "failure"])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40), st.lists(PSA, min_size=1, max_size=4))
def test_any_text_and_any_number_is_drawn(name, values):
    """The renderer ends the process on what it cannot draw: nothing may come to it unseen."""
    psa = psa_figure(table([(name, 30 * n, value, False) for n, value in enumerate(values)]))
    assert psa is not None
    ElementTree.fromstring(psa.svg)
    complication = AttributedKind(name, name, name, 3)
    drawn = complications_figure([complication], [name])
    assert drawn is not None
    ElementTree.fromstring(drawn.svg)


def test_the_same_numbers_give_the_same_files_also_after_others():
    psa = table([("a", 0, 8.0, False), ("a", 90, 0.2, False), ("a", 400, 3.0, True)])
    first = psa_figure(psa)
    nadir = nadir_figure([0.1, 0.3])
    assert first is not None
    assert nadir is not None
    assert nadir.svg == nadir_figure([0.1, 0.3]).svg
    assert first.svg == psa_figure(psa).svg
    assert first.png.startswith(b"\x89PNG")


def test_layers_for_the_pointer_are_not_in_files():
    figure = nadir_figure([0.1, 0.3, 9.0])
    names = [layer.get("name") for layer in figure.spec["layer"]]
    assert names.count("hover") == 1
    assert b"hover" not in figure.svg


def test_names_are_shortened_and_stay_different():
    assert shortened(["a", "b"], 5) == ["a", "b"]
    long = ["external-beam one", "external-beam two", "external-beam six"]
    assert shortened(long, 10) == ["external-…", "external-… (2)", "external-… (3)"]
    assert len(set(shortened(["a b", "a  b"], 10))) == 2


def test_courses_of_many_patients_are_quartiles():
    few = psa_figure(table([(f"p{n}", 100, 1.0, False) for n in range(500)]))
    many = psa_figure(table([(f"p{n}", 100, float(n), n == 7) for n in range(501)]))
    assert "500 patients, one line each" in few.caption
    assert many.data.splitlines() == ["month,n,median,q1,q3", "4.5,501,250.0,125.0,375.0"]
    assert not many.controls


def test_the_axis_of_psa_is_readable_at_its_low_end():
    figure = psa_figure(table([("a", 0, 8.0, False), ("a", 90, 0.05, False)]))
    shown = texts(figure.svg)
    assert {"0.1", "0.2", "0.5", "1", "2", "5"} <= set(shown)


def patients(*rows: tuple[str, float | None, str | None, float | None, str | None]) -> pd.DataFrame:
    columns = ["patient", "baseline_psa", "baseline_psa_comparator", "psa_nadir"]
    return pd.DataFrame(rows, columns=[*columns, "psa_nadir_comparator"])


def test_the_change_to_the_nadir():
    found = psa_changes(
        patients(
            ("a", 10.0, None, 0.5, None),
            ("b", 4.0, None, 5.0, None),
            ("below", 8.0, None, 2.4, "<"),
            ("above", 20.0, ">", 1.0, None),
            ("zero", 0.0, None, 0.1, None),
            ("none", 9.0, None, None, None),
        )
    )
    assert found.to_dict("records") == [
        {"patient": "b", "change": 25.0},
        {"patient": "a", "change": -95.0},
    ]
    figure = waterfall_figure(found)
    assert "2 patients" in figure.caption
    assert "where PSA fell (1)" in figure.caption
    assert waterfall_figure(found.iloc[:0]) is None


def test_a_bar_that_is_cut_off_is_told_of():
    found = pd.DataFrame({"patient": ["a", "b"], "change": [740.0, -20.0]})
    figure = waterfall_figure(found)
    assert "1 bars end at 100 per cent" in figure.caption
    assert "a,740.0" in figure.data


def test_swimmers_end_at_the_death_if_it_is_later():
    people = pd.DataFrame({"patient": ["a", "b", "c"], "last_contact_days": [100, 300, None]})
    events = pd.DataFrame(
        [
            ("a", "death", "day", 400),
            ("b", "metastasis", "interval", 20),
            ("b", "metastasis", "at-baseline", -4),
            ("b", "salvage-therapy", "day", 30),
        ],
        columns=["patient", "kind", "certainty", "days"],
    )
    found = swimmers(people, events)
    assert found == (
        Swimmer("a", 400, ((EventKind.DEATH, 400),)),
        Swimmer("b", 300, ((EventKind.SALVAGE_THERAPY, 30),)),
    )
    figure = swimmer_figure(found)
    assert "salvage therapy 1, death 1" in figure.caption
    assert figure.data.splitlines()[1:] == [
        "a,last-contact,400",
        "b,last-contact,300",
        "a,death,400",
        "b,salvage-therapy,30",
    ]
    assert swimmer_figure([found[0]] * (MOST_SWIMMERS + 1)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "limits"),
    [
        ("iief-5", (1, 25)),
        ("iciq-ui-sf", (0, 21)),
        ("ipss", (0, 35)),
        ("ipss-qol", (0, 6)),
        ("qlq-c30-ql2", (0, 100)),
        ("epic-26-sexual", (0, 100)),
    ],
)
def test_the_range_of_an_instrument(key, limits):
    """As its scoring instructions say; the reports' axes go from the one to the other."""
    found = {one.key: one for one in load_mappings().instruments}
    assert found[key].limits == limits


def test_what_is_drawn_stands_in_a_page_as_data():
    spec = vega.drawing(data=vega.rows(("a",), [("x" * 500,)]))
    assert len(spec["data"]["values"][0]["a"]) == 201
    assert json.dumps(spec)


def test_of_many_steps_a_curve_draws_evenly_spaced_ones():
    assert thinned(range(1000)) == range(1000)
    found = thinned(range(5001))
    assert (len(found), found[0], found[-1]) == (1000, 0, 5000)
    assert {second - first for first, second in pairwise(found)} <= {5, 6}
    changes = pd.DataFrame({"patient": [f"p{n}" for n in range(3000)], "change": [-50.0] * 3000})
    figure = waterfall_figure(changes)
    assert "3000 patients" in figure.caption
    assert figure.data.count("\n") == 3001
    assert len(figure.svg) < 400_000


@pytest.mark.slow
def test_figures_of_little_have_a_size():
    """A drawing without a size cannot be rendered as PNG."""
    few = Curve(3, 0, (0, 400), (1.0, 1.0), (None, None), (None, None), (3, 3), (0, 0), (0, 3))
    words = "Overall survival"
    found = [
        swimmer_figure([Swimmer("a", 0, ())]),
        psa_figure(table([("a", 0, 0.0, False)])),
        nadir_figure([0.0]),
        survival_figure(Survival(OVERALL_SURVIVAL, words, 3, 0, (), curve=few, shown_to=None)),
        survival_figure(Survival(OVERALL_SURVIVAL, words, 3, 0, (), curve=few, shown_to=0)),
        grouped_figure(GroupedTime(OVERALL_SURVIVAL, words, (few, few), None, None), "ab", 3),
    ]
    for figure in found:
        assert figure.png.startswith(b"\x89PNG"), figure.name
    assert "Too few at risk" in texts(found[3].svg)
