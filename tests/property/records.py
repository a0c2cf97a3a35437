"""Random records of one patient, at the level of the endpoint computation."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from fhircryo.calendar import Span, add_months, month_span, year_span
from fhircryo.record.items import (
    AdverseEvent,
    Cause,
    CauseOfDeath,
    Diagnosis,
    EventKind,
    Finding,
    Malignancy,
    PatientFacts,
    PatientRecord,
    PsaResult,
    Therapy,
    TherapyKind,
    Treatment,
)

D0 = date(2016, 1, 10)
AS_OF = date(2018, 6, 30)

#: Days around the limits of the definitions, and others.
_LIMITS = [-271, -270, -180, -1, 0, 1, 27, 28, 30, 31, 90, 274, 275, 366, 367, 400, 731, 900]
days = st.one_of(st.sampled_from(_LIMITS), st.integers(-400, 900)).map(
    lambda number: D0 + timedelta(days=number)
)


def on(day: date) -> Span:
    """A precise date."""
    return Span(day, day)


def vague(day: date) -> list[Span]:
    """The spans of the month and the year of a day."""
    return [month_span(day.year, day.month), year_span(day.year)]


spans = days.flatmap(lambda day: st.sampled_from([on(day), on(day), on(day), *vague(day)]))
dates = st.one_of(spans, spans, spans, st.none())

values = st.sampled_from(
    [
        "0.05",
        "0.1",
        "0.3",
        "0.5",
        "0.6",
        "1.0",
        "2.0",
        "2.05",
        "2.1",
        "2.3",
        "2.5",
        "3.0",
        "4.5",
        "9",
    ]
).map(Decimal)
comparators = st.sampled_from(["", "", "", "", "<", "<", "<=", ">", ">="])


@st.composite
def results(draw: st.DrawFn) -> tuple[date, Decimal, str]:
    """A PSA result: its day, value and comparator."""
    return draw(days), draw(values), draw(comparators)


def psa(number: int, day: date, value: Decimal, comparator: str) -> PsaResult:
    """A PSA result of the record; its id follows from its number."""
    return PsaResult(
        ref=f"Observation/psa{number:02d}",
        patient="p",
        code="psa",
        when=on(day),
        rank=2,
        value=value,
        comparator=comparator,
    )


def finding(
    number: int | str, kind: EventKind, when: Span | None, of_prostate: bool | None = True
) -> Finding:
    """A clinical event of the record."""
    return Finding(
        ref=f"Condition/f{number}",
        patient="p",
        code="finding",
        kinds=(kind,),
        when=when,
        of_prostate=of_prostate,
    )


_KINDS = [
    EventKind.METASTASIS,
    EventKind.NODAL_RECURRENCE,
    EventKind.LOCAL_RECURRENCE,
    EventKind.PROGRESSION,
]


@st.composite
def findings(draw: st.DrawFn) -> list[Finding]:
    """Some clinical events."""
    drawn = draw(
        st.lists(
            st.tuples(st.sampled_from(_KINDS), dates, st.sampled_from([None, True, True, False])),
            max_size=2,
        )
    )
    return [finding(number, *one) for number, one in enumerate(drawn)]


@st.composite
def therapies(draw: st.DrawFn) -> list[Therapy]:
    """Some therapies, most of them hormone therapy."""
    kinds = st.sampled_from([TherapyKind.HORMONE, TherapyKind.HORMONE, TherapyKind.LOCAL])
    drawn = draw(st.lists(st.tuples(kinds, dates, st.booleans(), st.booleans()), max_size=2))
    return [
        Therapy(
            ref=f"MedicationRequest/t{number}",
            patient="p",
            code="therapy",
            kind=kind,
            when=when,
            ongoing=ongoing,
            order=order,
        )
        for number, (kind, when, ongoing, order) in enumerate(drawn)
    ]


@st.composite
def deaths(draw: st.DrawFn) -> tuple[PatientFacts, list[CauseOfDeath]]:
    """The Patient resource with a death or without one, and its causes."""
    facts = PatientFacts(ref="Patient/p", patient="p", code="Patient")
    how = draw(st.sampled_from(["alive", "alive", "alive", "dated", "undated"]))
    if how == "alive":
        return facts, []
    facts.died_undated = how == "undated"
    facts.died = draw(spans) if how == "dated" else None
    causes = draw(st.lists(st.sampled_from(list(Cause)), max_size=2))
    return facts, [
        CauseOfDeath(ref=f"Observation/c{number}", patient="p", code="cause", cause=cause)
        for number, cause in enumerate(causes)
    ]


@st.composite
def records(draw: st.DrawFn) -> PatientRecord:
    """A patient with an index procedure on ``D0``."""
    facts, causes = draw(deaths())
    drawn = draw(st.lists(results(), max_size=6))
    others = draw(st.lists(dates, max_size=1))
    repeats = draw(st.lists(days.filter(lambda day: day > D0), max_size=1))
    return PatientRecord(
        "p",
        facts,
        [],
        [treatment(0, D0), *(treatment(1, day) for day in repeats)],
        draw(therapies()),
        [psa(number, *one) for number, one in enumerate(drawn)],
        draw(findings()),
        [
            Diagnosis(
                ref=f"Condition/d{number}",
                patient="p",
                code="cancer",
                malignancy=Malignancy.OTHER,
                when=when,
            )
            for number, when in enumerate(others)
        ],
        causes,
        [],
        [
            AdverseEvent(
                ref="AdverseEvent/a",
                patient="p",
                code="event",
                when=draw(dates),
                has_suspects=False,
                suspects=(),
                grades=(),
            )
        ],
        [],
        [],
        [],
        {},
    )


def treatment(number: int, day: date) -> Treatment:
    """A cryoablation."""
    return Treatment(
        ref=f"Procedure/x{number}",
        patient="p",
        code="cryoablation",
        when=on(day),
        completed=True,
        successful=True,
    )


LANDMARK = add_months(D0, 12)
