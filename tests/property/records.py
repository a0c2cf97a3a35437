"""Random records of one patient, made of items: all kinds, with vague and missing dates."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from fhircryo.calendar import Span, month_span, year_span
from fhircryo.record.items import (
    AdverseEvent,
    Cause,
    CauseOfDeath,
    Diagnosis,
    EventKind,
    Finding,
    Grading,
    Item,
    Malignancy,
    PatientFacts,
    PatientRecord,
    PsaResult,
    Reason,
    Response,
    Score,
    Therapy,
    TherapyKind,
    Treatment,
    VagueTreatment,
)

D0 = date(2015, 3, 31)
AS_OF = date(2017, 9, 30)

#: Days around the limits of the definitions.
_LIMITS = [-271, -270, -180, -1, 0, 1, 27, 28, 30, 31, 90, 91, 274, 275, 366, 367, 731, 913, 914]
days = st.one_of(st.sampled_from(_LIMITS), st.integers(-400, 1300)).map(
    lambda number: D0 + timedelta(days=number)
)


def on(day: date) -> Span:
    """A precise date."""
    return Span(day, day)


def vague(day: date) -> list[Span]:
    """The spans of the month and the year of a day."""
    return [month_span(day.year, day.month), year_span(day.year)]


precise = days.map(on)
_vague = days.flatmap(lambda day: st.sampled_from(vague(day)))
_intervals = st.builds(
    lambda first, length: Span(first, first + timedelta(days=length)), days, st.integers(1, 550)
)
#: A day; or a month, a year, or another interval of up to a year and a half.
spans = st.one_of(precise, precise, _vague, _intervals)
dates = st.one_of(spans, spans, spans, st.none())

#: PSA values around the limits of the definitions, in ng/mL.
values = st.one_of(
    st.sampled_from(["0.05", "0.1", "0.3", "0.5", "0.6", "2.0", "2.1", "2.3", "2.5", "4.5"]),
    st.integers(0, 900).map(lambda number: f"{number / 100:.2f}"),
).map(Decimal)
comparators = st.sampled_from(["", "", "", "", "<", "<", "<=", ">", ">="])
_grades = st.sampled_from([(), (("clavien-dindo", "II"),), (("clavien-dindo", "III"),)])
_scores = st.integers(1, 25).map(lambda number: (Score("iief-5", number),))
_kinds = st.sampled_from(
    [
        EventKind.METASTASIS,
        EventKind.NODAL_RECURRENCE,
        EventKind.LOCAL_RECURRENCE,
        EventKind.PROGRESSION,
    ]
)
_therapies = st.sampled_from([TherapyKind.HORMONE, *TherapyKind])


def finding(
    number: int | str, kind: EventKind, when: Span | None, of_prostate: bool | None = True
) -> Finding:
    """A clinical event of the record."""
    return Finding(
        ref=f"Condition/{number}",
        patient="p1",
        code="",
        kinds=(kind,),
        when=when,
        of_prostate=of_prostate,
    )


def _items(item: type[Item], /, **fields: st.SearchStrategy) -> st.SearchStrategy[Item]:
    return st.builds(lambda **more: item(ref="", patient="p1", code="", **more), **fields)


_results = _items(PsaResult, when=precise, rank=st.just(0), value=values, comparator=comparators)
_items_of_care = st.one_of(
    _results,
    _items(
        Finding,
        kinds=_kinds.map(lambda kind: (kind,)),
        when=dates,
        recorded_only=st.booleans(),
        unclear_site=st.sampled_from([False, False, True]),
        of_prostate=st.sampled_from([None, True, True, False]),
    ),
    _items(Diagnosis, malignancy=st.sampled_from(Malignancy), when=dates),
    _items(CauseOfDeath, cause=st.sampled_from(Cause), when=dates),
    _items(
        Therapy,
        when=dates,
        kind=_therapies,
        end=dates,
        ongoing=st.booleans(),
        order=st.booleans(),
    ),
    _items(VagueTreatment, when=spans, reason=st.just(Reason.IMPRECISE_DATE)),
    _items(
        AdverseEvent,
        when=dates,
        recorded=dates,
        has_suspects=st.just(False),
        suspects=st.just(()),
        grades=_grades,
    ),
    _items(Grading, when=dates, events=st.just(()), procedures=st.just(()), grades=_grades),
    _items(Response, when=precise, rank=st.just(0), scores=_scores),
)
_repeats = _items(
    Treatment,
    when=precise.filter(lambda when: when.first >= D0),
    completed=st.booleans(),
    successful=st.just(True),
)
_facts = st.one_of(
    st.none(),
    _items(PatientFacts),
    _items(PatientFacts, died=spans),
    _items(PatientFacts, died_undated=st.just(True)),
)


@st.composite
def records(draw: st.DrawFn) -> PatientRecord:
    """A patient with an index procedure on D0, several PSA results, and other items."""
    index = Treatment(
        ref="Procedure/x", patient="p1", code="", when=on(D0), completed=True, successful=True
    )
    record = PatientRecord("p1", treatments=[index])
    found = draw(st.lists(_results, max_size=6)) + draw(st.lists(_items_of_care, max_size=6))
    found += draw(st.lists(_repeats, max_size=1))
    for number, item in enumerate(found):
        item.ref = f"Any/{number:02d}"
        record.add(item)
    record.facts = draw(_facts)
    if record.facts is not None:
        record.facts.ref = "Patient/p1"
    return record
