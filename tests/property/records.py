"""Random records of one patient, made of items: all kinds, with vague and missing dates."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from fhircryo.calendar import Span
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


def days(first: int = -400, last: int = 1300) -> st.SearchStrategy[date]:
    return st.integers(first, last).map(lambda number: D0 + timedelta(days=number))


precise = days().map(lambda day: Span(day, day))
#: A day, or an interval of up to a year and a half.
spans = st.one_of(
    precise,
    st.builds(
        lambda first, length: Span(first, first + timedelta(days=length)),
        days(),
        st.integers(1, 550),
    ),
)
maybe = st.one_of(st.none(), spans)
_grades = st.sampled_from([(), (("clavien-dindo", "II"),), (("clavien-dindo", "III"),)])
_scores = st.integers(1, 25).map(lambda number: (Score("iief-5", number),))


def _items(item: type[Item], /, **fields: st.SearchStrategy) -> st.SearchStrategy[Item]:
    return st.builds(lambda **more: item(ref="", patient="p1", code="", **more), **fields)


treatments = _items(Treatment, when=precise, completed=st.booleans(), successful=st.just(True))
others = st.one_of(
    _items(
        PsaResult,
        when=precise,
        rank=st.just(0),
        value=st.integers(0, 900).map(lambda number: Decimal(number) / 100),
        comparator=st.sampled_from(["", "", "", "<", "<=", ">"]),
    ),
    _items(
        Finding,
        kinds=st.sampled_from(list(EventKind)[:4]).map(lambda kind: (kind,)),
        when=maybe,
        recorded_only=st.booleans(),
        unclear_site=st.booleans(),
        of_prostate=st.sampled_from([None, None, True, False]),
    ),
    _items(Diagnosis, malignancy=st.sampled_from(Malignancy), when=maybe),
    _items(CauseOfDeath, cause=st.sampled_from(Cause), when=maybe),
    _items(
        Therapy,
        when=maybe,
        kind=st.sampled_from(TherapyKind),
        end=maybe,
        ongoing=st.booleans(),
        order=st.booleans(),
    ),
    _items(VagueTreatment, when=spans, reason=st.just(Reason.IMPRECISE_DATE)),
    _items(
        AdverseEvent,
        when=maybe,
        recorded=maybe,
        has_suspects=st.just(False),
        suspects=st.just(()),
        grades=_grades,
    ),
    _items(Grading, when=maybe, events=st.just(()), procedures=st.just(()), grades=_grades),
    _items(Response, when=precise, rank=st.just(0), scores=_scores),
)
facts = st.one_of(
    st.none(),
    _items(PatientFacts),
    _items(PatientFacts, died=spans),
    _items(PatientFacts, died_undated=st.just(True)),
)


@st.composite
def records(draw: st.DrawFn) -> PatientRecord:
    """A patient with an index procedure on D0, and later ones."""
    index = Treatment(
        ref="Procedure/x", patient="p1", code="", when=Span(D0, D0), completed=True, successful=True
    )
    record = PatientRecord("p1", treatments=[index])
    found = draw(st.lists(others, max_size=8)) + draw(st.lists(treatments, max_size=1))
    for number, item in enumerate(found):
        item.ref = f"Any/{number}"
        record.add(item)
    record.facts = draw(facts)
    if record.facts is not None:
        record.facts.ref = "Patient/p1"
    return record
