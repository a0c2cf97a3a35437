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


COMPARATORS = [None, None, None, None, "<", "<", "<=", ">", ">="]
PSA_UNITS = [*(["ng/mL"] * 8), "ug/L", "µg/L", "bogus"]
PSA_TEXTS = ["<0,1 ng/mL", "< 0.3 ng/mL", "0,4 ng/mL", ".3", "1,234 ng/mL", "see report"]


@st.composite
def psa_value(draw) -> dict:
    """A PSA value, as the elements of an Observation or of a component."""
    if draw(st.integers(0, 9)) == 9:
        return {"valueString": draw(st.sampled_from(PSA_TEXTS))}
    value = Decimal(draw(st.one_of(st.integers(0, 350), st.integers(0, 1200)))) / 100
    quantity = {"value": value, "unit": draw(st.sampled_from(PSA_UNITS))}
    comparator = draw(st.sampled_from(COMPARATORS))
    if comparator:
        quantity["comparator"] = comparator
    return {"valueQuantity": quantity}


@st.composite
def psa(draw, number: int) -> dict:
    """A PSA result, at times as a component of another Observation."""
    status = draw(st.sampled_from(["final"] * 8 + ["corrected", "amended", "preliminary"]))
    early, precise = draw(st.integers(0, 5)) == 5, draw(st.integers(0, 19)) < 19
    when = fhir_dates(-200, 27, precise) if early else fhir_dates(28, 600, precise)
    result = {"code": coded("http://loinc.org", "2857-1"), **draw(psa_value())}
    if draw(st.integers(0, 7)) == 7:
        result = {"code": {"text": "laboratory panel"}, "component": [result]}
    return {
        "resourceType": "Observation",
        "id": f"psa-{number}",
        "status": status,
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": draw(when),
        **result,
    }


#: Conditions that a metastasis may name as its primary; the source may hold them or not.
PRIMARIES = ["Condition/cancer", "Condition/bowel"]
RELATED_PRIMARY = (
    "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-related-primary-cancer-condition"
)
ICD_10 = "http://hl7.org/fhir/sid/icd-10"
#: Metastases, one of an unclear site, recurrences, the cancer itself and another one.
DISEASES = [
    coded(SCT, "314994000"),
    coded(ICD_10, "C79.5"),
    coded(ICD_10, "C78.7"),
    coded(ICD_10, "C77.8"),
    coded(ICD_10, "C77.5"),
    coded(f"{BASE}/CodeSystem/concept", "local-recurrence"),
    coded(SCT, "399068003"),
    coded(ICD_10, "C67.9"),
]


@st.composite
def finding(draw, number: int) -> dict:
    """A Condition: a metastasis, a recurrence, the cancer or another cancer."""
    made = {
        "resourceType": "Condition",
        "id": f"cond-{number}",
        "subject": {"reference": "Patient/p1"},
        "code": draw(st.sampled_from(DISEASES)),
    }
    if draw(st.booleans()):
        made["onsetDateTime"] = draw(fhir_dates())
    if draw(st.booleans()):
        made["recordedDate"] = draw(fhir_dates())
    status = draw(st.sampled_from([None, None, None, "confirmed", "provisional"]))
    if status:
        system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
        made["verificationStatus"] = coded(system, status)
    primary = draw(st.sampled_from([None, None, None, *PRIMARIES]))
    if primary:
        made["extension"] = [{"url": RELATED_PRIMARY, "valueReference": {"reference": primary}}]
    return made


MII = "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem"
NO_METASTASIS = {
    "code": coded("http://loinc.org", "21907-1"),
    "valueCodeableConcept": coded("https://www.uicc.org/resources/tnm", "M0"),
}
#: What Observations state: progression, a metastasis with and without a value, an M category.
STATEMENTS = [
    {
        "code": coded("http://loinc.org", "97509-4"),
        "valueCodeableConcept": coded(SCT, "271299001"),
    },
    {"code": coded(SCT, "385421009")},
    {
        "code": coded("http://loinc.org", "21907-1"),
        "valueCodeableConcept": coded("https://www.uicc.org/resources/tnm", "M1b"),
    },
    NO_METASTASIS,
    {
        "code": coded(SCT, "396432002"),
        "component": [
            {
                "code": coded(SCT, "277062004"),
                "valueCodeableConcept": coded(f"{MII}/mii-cs-onko-verlauf-primaertumor", "R"),
            },
            {
                "code": coded(SCT, "399656008"),
                "valueCodeableConcept": coded(f"{MII}/mii-cs-onko-verlauf-lymphknoten", "R"),
            },
        ],
    },
]


@st.composite
def observed(draw, number: int) -> dict:
    """An Observation that states events, itself or by its components."""
    made = {
        "resourceType": "Observation",
        "id": f"observed-{number}",
        "status": draw(st.sampled_from(["final", "final", "amended", "preliminary"])),
        "subject": {"reference": "Patient/p1"},
        **draw(st.sampled_from(STATEMENTS)),
    }
    if draw(st.integers(0, 9)) < 9:
        made["effectiveDateTime"] = draw(fhir_dates())
    primary = draw(st.sampled_from([None, None, *PRIMARIES]))
    if primary:
        made["focus"] = [{"reference": primary}]
    return made


CAUSES = [
    coded(ICD_10, "C61"),
    coded(ICD_10, "I21.9"),
    coded(ICD_10, "R99"),
    {"text": "prostate cancer"},
]


@st.composite
def cause_of_death(draw, number: int) -> dict:
    """An Observation of the cause of death, dated or not."""
    made = {
        "resourceType": "Observation",
        "id": f"cause-{number}",
        "status": "final",
        "code": coded("http://loinc.org", "69453-9"),
        "subject": {"reference": "Patient/p1"},
        "valueCodeableConcept": draw(st.sampled_from(CAUSES)),
    }
    if draw(st.booleans()):
        made["effectiveDateTime"] = draw(fhir_dates())
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
        made["recordedDate"] = draw(fhir_dates())
    if draw(st.booleans()):
        made["severity"] = coded(
            f"{BASE}/CodeSystem/clavien-dindo", draw(st.sampled_from(["I", "II", "III", "IIIb"]))
        )
    if draw(st.booleans()):
        ref = draw(st.sampled_from(["Procedure/x1", "Procedure/session", "Medication/m1"]))
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


PARACETAMOL = {"medicationCodeableConcept": coded("http://www.whocc.no/atc", "N02BE01")}
#: Hormones, chemotherapy, another drug, and Medications of which the last is not in the source.
DRUGS = [
    {"medicationCodeableConcept": coded("http://www.whocc.no/atc", "L02AE02")},
    {"medicationCodeableConcept": coded("http://www.whocc.no/atc", "L02AE02")},
    PARACETAMOL,
    {"medicationCodeableConcept": coded("http://www.whocc.no/atc", "L01CD02")},
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
#: Statuses, of which the last does not count, and the element of the start.
THERAPY_TYPES = {
    "MedicationRequest": (["active", "completed", "on-hold", "cancelled"], "authoredOn"),
    "MedicationStatement": (["active", "stopped", "on-hold", "intended"], "effectiveDateTime"),
    "MedicationAdministration": (["completed", "in-progress", "not-done"], "effectiveDateTime"),
    "Procedure": (["completed", "in-progress", "preparation"], "performedDateTime"),
}
#: The element of a period; an order has none.
PERIODS = {
    "MedicationStatement": "effectivePeriod",
    "MedicationAdministration": "effectivePeriod",
    "Procedure": "performedPeriod",
}


@st.composite
def therapy(draw, number: int) -> dict:
    """A therapy, at times with an end; most are hormone therapy."""
    kind = draw(st.sampled_from(list(THERAPY_TYPES)))
    statuses, date_element = THERAPY_TYPES[kind]
    made = {
        "resourceType": kind,
        "id": f"therapy-{number}",
        "status": draw(st.sampled_from(statuses)),
        "subject": {"reference": "Patient/p1"},
    }
    start = draw(fhir_dates(first=-600)) if draw(st.integers(0, 9)) < 9 else None
    end = draw(fhir_dates(first=-300)) if draw(st.integers(0, 2)) == 2 else None
    if end and kind == "MedicationRequest":
        repeat = {"boundsPeriod": {"end": end}}
        made["dosageInstruction"] = [{"timing": {"repeat": repeat}}]
    if start and end and kind in PERIODS:
        made[PERIODS[kind]] = {"start": start, "end": end}
    elif start:
        made[date_element] = start
    if kind == "Procedure":
        return made | {"code": coded(SCT, draw(st.sampled_from(["26294005", "65801008"])))}
    if kind == "MedicationRequest":
        made["intent"] = draw(st.sampled_from(["order", "order", "plan"]))
    return made | draw(st.sampled_from(DRUGS))


#: The Conditions of ``PRIMARIES``.
CANCERS = [
    {
        "resourceType": "Condition",
        "id": "cancer",
        "subject": {"reference": "Patient/p1"},
        "code": coded(SCT, "399068003"),
    },
    {
        "resourceType": "Condition",
        "id": "bowel",
        "subject": {"reference": "Patient/p1"},
        "code": coded(ICD_10, "C18.7"),
        "onsetDateTime": "2015-11-01",
    },
]


#: The kinds of resources of a patient, and how many there are of each.
KINDS = (
    (psa, [5, 4, 6, 8, 3, 2, 0]),
    (finding, [0, 0, 0, 1, 2]),
    (observed, [0, 0, 0, 0, 1, 2]),
    (cause_of_death, [0, 1]),
    (adverse_event, [0, 1, 2, 3]),
    (response, [0, 1, 2, 3]),
    (therapy, [0, 0, 0, 1, 2, 3]),
)


@st.composite
def patients(draw) -> list[dict]:
    """All resources of a patient with an index procedure on D0."""
    session = draw(st.sampled_from([{}, {"partOf": [{"reference": "Procedure/session"}]}]))
    made = [procedure("x1", str(D0), **session)]
    if draw(st.integers(0, 4)) == 4:
        made.append(procedure("x2", draw(fhir_dates(first=1))))
    dead = draw(st.sampled_from(["no", "no", "no", "dated", "undated"]))
    patient = {"resourceType": "Patient", "id": "p1"}
    if dead == "dated":
        patient["deceasedDateTime"] = draw(fhir_dates(first=-30))
    elif dead == "undated":
        patient["deceasedBoolean"] = True
    made.append(patient)
    made += MEDICATIONS
    made += draw(st.sampled_from([[], CANCERS[:1], CANCERS[:1], CANCERS]))
    for strategy, counts in KINDS:
        count = draw(st.sampled_from(counts))
        made += [draw(strategy(number)) for number in range(count)]
    return made


@st.composite
def unused(draw) -> dict | bytes:
    """Something that is read and not used: unmapped, of a wrong status, or unreadable."""
    kinds = ["unmapped", "status", "procedure", "broken", "wrong", "type", "drug", "planned"]
    kinds += ["conflict", "no-metastasis"]
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
    elif kind == "conflict":
        free = coded("http://loinc.org", "10886-0")["coding"]
        made["code"] = {"coding": coded("http://loinc.org", "2857-1")["coding"] + free}
    elif kind == "no-metastasis":
        del made["valueQuantity"]
        made |= NO_METASTASIS
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
            **(PARACETAMOL if kind == "drug" else DRUGS[0]),
            "subject": subject,
            "authoredOn": when,
        }
    return made


#: The element of the date of each type of resource.
DATES = {
    "Observation": "effectiveDateTime",
    "Condition": "onsetDateTime",
    "AdverseEvent": "date",
    "QuestionnaireResponse": "authored",
    **{kind: element for kind, (_, element) in THERAPY_TYPES.items()},
}


@st.composite
def after_as_of(draw) -> dict:
    """Something that would count, were it not dated after as-of."""
    late = (AS_OF - D0).days + 1
    when = draw(fhir_dates(first=late, last=late + 800, precise=True))
    kinds = [strategy(99) for strategy, _ in KINDS]
    made = draw(st.one_of(kinds))
    kind = made["resourceType"]
    made.pop(PERIODS.get(kind, ""), None)
    made[DATES[kind]] = when
    return made
