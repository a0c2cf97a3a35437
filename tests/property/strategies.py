"""Random patients as FHIR R4: mostly sound, with what hospitals do to data."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

BASE = "https://w3id.org/fhircryo"
SCT = "http://snomed.info/sct"
D0 = date(2015, 3, 31)
AS_OF = date(2016, 9, 30)


def coded(system: str, code: str) -> dict:
    return {"coding": [{"system": system, "code": code}]}


def days(first: int = -400, last: int = 900) -> st.SearchStrategy[date]:
    return st.integers(first, last).map(lambda n: D0 + timedelta(days=n))


@st.composite
def fhir_dates(draw, first: int = -400, last: int = 900, precise: bool = False) -> str:
    day = draw(days(first, last))
    kinds = ["day", "time"] if precise else ["day", "day", "time", "month", "year"]
    kind = draw(st.sampled_from(kinds))
    if kind == "time":
        hour = draw(st.integers(0, 23))
        return f"{day}T{hour:02d}:00:00{draw(st.sampled_from(['Z', '+01:00', '-05:00']))}"
    return {"day": str(day), "month": str(day)[:7], "year": str(day)[:4]}[kind]


@st.composite
def psa(draw, number: int) -> dict:
    value = Decimal(draw(st.integers(0, 1200))) / 100
    quantity = {"value": value, "unit": draw(st.sampled_from(["ng/mL", "ug/L", "µg/L", "bogus"]))}
    comparator = draw(st.sampled_from([None, None, None, "<", ">", "<="]))
    if comparator:
        quantity["comparator"] = comparator
    status = draw(st.sampled_from(["final"] * 5 + ["corrected", "amended", "preliminary"]))
    return {
        "resourceType": "Observation",
        "id": f"psa-{number}",
        "status": status,
        "code": coded("http://loinc.org", "2857-1"),
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": draw(fhir_dates()),
        "valueQuantity": quantity,
    }


@st.composite
def finding(draw, number: int) -> dict:
    made = {
        "resourceType": "Condition",
        "id": f"cond-{number}",
        "subject": {"reference": "Patient/p1"},
        "code": draw(
            st.sampled_from(
                [
                    coded(SCT, "314994000"),
                    coded("http://hl7.org/fhir/sid/icd-10", "C79.5"),
                    coded(f"{BASE}/CodeSystem/concept", "local-recurrence"),
                    coded(SCT, "399068003"),
                ]
            )
        ),
    }
    if draw(st.booleans()):
        made["onsetDateTime"] = draw(fhir_dates())
    if draw(st.booleans()):
        made["recordedDate"] = draw(fhir_dates())
    return made


@st.composite
def adverse_event(draw, number: int) -> dict:
    made = {
        "resourceType": "AdverseEvent",
        "id": f"ae-{number}",
        "actuality": draw(st.sampled_from(["actual", "actual", "actual", "potential"])),
        "subject": {"reference": "Patient/p1"},
    }
    if draw(st.booleans()):
        made["date"] = draw(fhir_dates())
    if draw(st.booleans()):
        made["severity"] = coded(
            f"{BASE}/CodeSystem/clavien-dindo", draw(st.sampled_from(["I", "II", "III", "IIIb"]))
        )
    if draw(st.booleans()):
        ref = draw(st.sampled_from(["Procedure/x1", "Medication/m1"]))
        made["suspectEntity"] = [{"instance": {"reference": ref}}]
    return made


@st.composite
def response(draw, number: int) -> dict:
    items = [
        {"linkId": f"q{n}", "answer": [{"valueInteger": draw(st.integers(1, 6))}]}
        for n in range(1, draw(st.sampled_from([5, 5, 5, 6])))
    ]
    items.append({"linkId": "q5", "answer": [{"valueInteger": draw(st.integers(0, 5))}]})
    return {
        "resourceType": "QuestionnaireResponse",
        "id": f"qr-{number}",
        "questionnaire": f"{BASE}/Questionnaire/iief-5",
        "status": draw(st.sampled_from(["completed", "completed", "amended", "in-progress"])),
        "subject": {"reference": "Patient/p1"},
        "authored": draw(fhir_dates()),
        "item": items,
    }


def procedure(ref: str, when: str, **more: object) -> dict:
    return {
        "resourceType": "Procedure",
        "id": ref,
        "status": "completed",
        "code": coded("http://www.ama-assn.org/go/cpt", "55873"),
        "subject": {"reference": "Patient/p1"},
        "performedDateTime": when,
        **more,
    }


DRUGS = [
    {"medicationCodeableConcept": coded("http://www.whocc.no/atc", "L02AE02")},
    {"medicationCodeableConcept": coded("http://www.whocc.no/atc", "N02BE01")},
    {"medicationReference": {"reference": "Medication/drug"}},
    {"medicationReference": {"reference": "Medication/other"}},
    {"medicationReference": {"reference": "Medication/nowhere"}},
]
MEDICATIONS = [
    {
        "resourceType": "Medication",
        "id": "drug",
        "code": coded("http://www.whocc.no/atc", "L02BB"),
    },
    {
        "resourceType": "Medication",
        "id": "other",
        "code": coded("http://www.whocc.no/atc", "N02BE01"),
    },
]
THERAPY_TYPES = {
    "MedicationRequest": (["active", "completed", "cancelled"], "authoredOn"),
    "MedicationStatement": (["active", "stopped", "intended"], "effectiveDateTime"),
    "MedicationAdministration": (["completed", "not-done"], "effectiveDateTime"),
    "Procedure": (["completed", "in-progress", "preparation"], "performedDateTime"),
}


@st.composite
def therapy(draw, number: int) -> dict:
    kind = draw(st.sampled_from(list(THERAPY_TYPES)))
    statuses, date_element = THERAPY_TYPES[kind]
    made = {
        "resourceType": kind,
        "id": f"therapy-{number}",
        "status": draw(st.sampled_from(statuses)),
        "subject": {"reference": "Patient/p1"},
    }
    if draw(st.integers(0, 9)):
        made[date_element] = draw(fhir_dates())
    if kind == "Procedure":
        return made | {"code": coded(SCT, draw(st.sampled_from(["26294005", "65801008"])))}
    if kind == "MedicationRequest":
        made["intent"] = draw(st.sampled_from(["order", "order", "plan"]))
    return made | draw(st.sampled_from(DRUGS))


@st.composite
def patients(draw) -> list[dict]:
    """All resources of a patient with an index procedure on D0."""
    made = [procedure("x1", str(D0))]
    if draw(st.integers(0, 4)) == 0:
        made.append(procedure("x2", draw(fhir_dates(first=1))))
    dead = draw(st.sampled_from(["no", "no", "no", "dated", "undated"]))
    patient = {"resourceType": "Patient", "id": "p1"}
    if dead == "dated":
        patient["deceasedDateTime"] = draw(fhir_dates(first=-30))
    elif dead == "undated":
        patient["deceasedBoolean"] = True
    made.append(patient)
    made += MEDICATIONS
    kinds = ((psa, 8), (finding, 2), (adverse_event, 3), (response, 4), (therapy, 3))
    for strategy, most in kinds:
        count = draw(st.integers(0, most))
        made += [draw(strategy(number)) for number in range(count)]
    return made


@st.composite
def unused(draw) -> dict | bytes:
    """Something that is read and not used: unmapped, of a wrong status, or unreadable."""
    kinds = ["unmapped", "status", "procedure", "broken", "wrong", "type", "drug", "planned"]
    kind = draw(st.sampled_from(kinds))
    when = draw(fhir_dates())
    subject = {"reference": "Patient/p1"}
    if kind == "broken":
        return b'{"resourceType":"Observation","id":"broken"'
    if kind == "type":
        return b'{"resourceType":"Observatoin","id":"typo"}'
    made = {
        "resourceType": "Observation",
        "id": "unused",
        "status": "final",
        "code": coded("http://loinc.org", "718-7"),
        "subject": subject,
        "effectiveDateTime": when,
        "valueQuantity": {"value": Decimal("0.01"), "unit": "ng/mL"},
    }
    if kind == "status":
        made |= {"code": coded("http://loinc.org", "2857-1"), "status": "entered-in-error"}
    elif kind == "wrong":
        made |= {"code": coded("http://loinc.org", "2857-1"), "effectiveDateTime": 5}
    elif kind == "procedure":
        return procedure("unused", when, status="not-done")
    elif kind in ("drug", "planned"):
        return {
            "resourceType": "MedicationRequest",
            "id": "unused",
            "status": "active",
            "intent": "order" if kind == "drug" else "plan",
            **DRUGS[1 if kind == "drug" else 0],
            "subject": subject,
            "authoredOn": when,
        }
    return made


@st.composite
def after_as_of(draw) -> dict:
    """Something that would count, were it not dated after as-of."""
    late = (AS_OF - D0).days + 1
    when = draw(fhir_dates(first=late, last=late + 800, precise=True))
    made = draw(st.one_of(psa(99), finding(99), adverse_event(99), response(99), therapy(99)))
    kind = made["resourceType"]
    if kind == "Observation":
        made["effectiveDateTime"] = when
    elif kind == "Condition":
        made["onsetDateTime"] = when
    elif kind == "AdverseEvent":
        made["date"] = when
    elif kind in THERAPY_TYPES:
        made[THERAPY_TYPES[kind][1]] = when
    else:
        made["authored"] = when
    return made
