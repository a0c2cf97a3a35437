"""A new endpoint: a module, a catalogue entry, a line that registers it, its protocol fields, its
spec rows; a new type of value is one entry more.
"""

import pandas as pd

from tests.extension.checkout import Checkout, hospital, only, patients

PROTOCOLS = ("mappings/protocols/bomers-2020.yaml", "mappings/protocols/oishi-2019.yaml")

DOUBLING_TIME = '''"""PSA doubling time after the nadir, from the nadir to the last result."""

from decimal import Decimal

from fhircryo.endpoints.catalogue import PSA_DOUBLING_TIME
from fhircryo.endpoints.failure import psa_evidence
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.result import Absent, Reason, Result, Role, absent

_DAYS_OF_A_MONTH = Decimal("30.4375")


def psa_doubling_time(patient: PatientCourse) -> Result:
    """Months in which PSA doubles, from the nadir to the last result."""
    nadir, points, line = patient.psa.nadir, patient.psa.points, patient.line
    last = points[-1] if points else None
    if nadir is None or last is None or last.value <= nadir.value:
        return absent(PSA_DOUBLING_TIME, (line.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    if len(points) < patient.protocol.doubling_time.minimum_results:
        return absent(PSA_DOUBLING_TIME, (line.d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    doublings = (last.value / nadir.value).ln() / Decimal(2).ln()
    months = Decimal((last.day - nadir.day).days) / _DAYS_OF_A_MONTH / doublings
    return Result(
        PSA_DOUBLING_TIME,
        last.day,
        last.day,
        final=False,
        value=months.quantize(Decimal("0.1")),
        evidence=(psa_evidence(Role.NADIR, nadir), psa_evidence(Role.LAST_PSA, last)),
    )
'''

DOUBLING_ROWS = """\
title: PSA doubling time
about: The months in which PSA doubles after its nadir.
rows:
  - id: doubling-01
    say: Two doublings in a year
    psa: [2016-03-01 0.5, 2016-08-31 1.0, 2017-03-02 2.0]
    expect: {psa-doubling-time: 6 2017-03-02}
  - id: doubling-02
    say: Two results are too few
    psa: [2016-03-01 0.5, 2017-03-02 2.0]
    expect: {psa-doubling-time: absent unknown too-few-psa}
  - id: doubling-03
    say: The protocol says how many results are needed
    psa: [2016-03-01 0.5, 2017-03-02 2.0]
    protocol: {doubling_time: {minimum_results: 2}}
    expect: {psa-doubling-time: 6}
"""

SALVAGE_TIME = '''"""Time to salvage therapy."""

from fhircryo.endpoints.catalogue import TIME_TO_SALVAGE
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.result import ComponentKey, Result, ResultComponent, Role
from fhircryo.endpoints.salvage import first_therapy


def time_to_salvage(patient: PatientCourse) -> Result:
    """Days from D0 to the first salvage therapy, else censored at the as-of date."""
    line, therapy = patient.line, first_therapy(patient.therapies)
    day = line.as_of if therapy is None else therapy.when.first
    return Result(
        TIME_TO_SALVAGE,
        day,
        day,
        final=therapy is not None,
        value=(day - line.d0).days,
        components=(ResultComponent(ComponentKey.EVENT, therapy is not None),),
        evidence=() if therapy is None else (therapy.evidence(Role.EVENT),),
    )
'''

SALVAGE_ROWS = """\
title: Time to salvage therapy
about: Days to the first salvage therapy.
rows:
  - id: to-salvage-01
    say: Censored at the data cut-off
    as_of: 2016-02-09
    expect: {time-to-salvage: 30 censored}
  - id: to-salvage-02
    say: With its event
    therapies: [request 2016-02-09 leuprorelin]
    expect: {time-to-salvage: 30 event}
  - id: to-salvage-03
    say: The first of several
    therapies: [request 2016-02-09 leuprorelin, request 2016-03-09 leuprorelin]
    expect: {time-to-salvage: 30 event}
"""


def add_endpoint(copy: Checkout, constant: str, entry: str, module: str, text: str) -> None:
    """Add what every endpoint takes; the function is called as the constant."""
    copy.add(f"fhircryo/endpoints/{module}.py", text)
    copy.change(
        "fhircryo/endpoints/catalogue.py",
        ("PROM_SCORE = Endpoint(", f"{constant} = Endpoint({entry})\nPROM_SCORE = Endpoint("),
        ("    MAJOR_SIR,\n    PROM_SCORE,", f"    MAJOR_SIR,\n    {constant},\n    PROM_SCORE,"),
    )
    function = constant.lower()
    copy.change(
        "fhircryo/endpoints/patient_endpoints.py",
        (
            "from fhircryo.endpoints.prom import",
            f"from fhircryo.endpoints.{module} import {function}\n"
            "from fhircryo.endpoints.prom import",
        ),
        ("    lambda of: prom_endpoints", f"    {function},\n    lambda of: prom_endpoints"),
    )


def test_an_endpoint_with_a_new_type_of_value(tmp_path):
    copy = Checkout(tmp_path / "copy")
    copy.change(
        "fhircryo/endpoints/value_types.py",
        (
            "SCORE = ValueType(",
            'MONTHS = ValueType("months", ValueForm.QUANTITY, (Detail.REASON, Detail.DAYS),'
            ' unit="mo", unit_words="months")\nSCORE = ValueType(',
        ),
    )
    copy.change(
        "fhircryo/endpoints/catalogue.py", ("    GRADE,\n    PSA,", "    GRADE, MONTHS, PSA,")
    )
    entry = '"psa-doubling-time", "Months in which PSA doubles", MONTHS, "after the nadir"'
    add_endpoint(copy, "PSA_DOUBLING_TIME", entry, "doubling_time", DOUBLING_TIME)
    copy.change(
        "fhircryo/mapping/protocol.py",
        (
            "class RecurrenceRules(StrictModel):",
            "class DoublingTime(StrictModel):\n    minimum_results: int\n\n\n"
            "class RecurrenceRules(StrictModel):",
        ),
        (
            "    recurrence: RecurrenceRules\n",
            "    recurrence: RecurrenceRules\n    doubling_time: DoublingTime\n",
        ),
    )
    for name in PROTOCOLS:
        copy.change(name, ("\nrecurrence:", "\ndoubling_time: {minimum_results: 3}\nrecurrence:"))
    copy.add("tests/spec/tables/99-doubling-time.yaml", DOUBLING_ROWS)
    assert copy.touched == {
        "fhircryo/endpoints/catalogue.py",
        "fhircryo/endpoints/doubling_time.py",
        "fhircryo/endpoints/patient_endpoints.py",
        "fhircryo/endpoints/value_types.py",
        "fhircryo/mapping/protocol.py",
        *PROTOCOLS,
        "tests/spec/tables/99-doubling-time.yaml",
    }
    copy.check_rows()
    source = hospital(tmp_path / "in")
    first, second = only(copy.compute(source), "psa-doubling-time")
    assert first["valueQuantity"] == {
        "value": 6,
        "unit": "mo",
        "system": "http://unitsofmeasure.org",
        "code": "mo",
    }
    assert second["dataAbsentReason"]["coding"][1]["code"] == "too-few-psa"
    (explained,) = copy.explain(source, "p1", "psa-doubling-time")
    assert explained["value"] == "6 months"
    assert "last-psa 2 ng/mL (Observation/a3, 2017-03-02)" in explained["because"]
    folder = copy.cohort(source, "--no-report")
    table = patients(folder)
    assert table.loc["p1", ["psa_doubling_time", "psa_doubling_time_days"]].tolist() == [6.0, 417]
    assert table.loc["p2", "psa_doubling_time_reason"] == "too-few-psa"
    rows = pd.read_parquet(folder / "endpoints.parquet").query("endpoint == 'psa-doubling-time'")
    assert rows.iloc[0]["unit"] == "mo"
    assert "psa_doubling_time," in (folder / "redcap_data_dictionary.csv").read_text()
    assert '"psa-doubling-time"' in (folder / "flow.json").read_text()


def test_a_second_endpoint_of_a_type_that_is_there(tmp_path):
    """Of days, event or censored: the report draws its curve as well."""
    copy = Checkout(tmp_path / "copy")
    entry = '"time-to-salvage", "Days to salvage therapy", TIME_TO_EVENT, "after D0"'
    add_endpoint(copy, "TIME_TO_SALVAGE", entry, "time_to_salvage", SALVAGE_TIME)
    copy.add("tests/spec/tables/99-time-to-salvage.yaml", SALVAGE_ROWS)
    assert len(copy.touched) == 4
    copy.check_rows()
    source = hospital(tmp_path / "in")
    first, _ = only(copy.compute(source), "time-to-salvage")
    assert first["valueQuantity"]["code"] == "d"
    (explained,) = copy.explain(source, "p1", "time-to-salvage")
    assert explained["value"].endswith(" days, censored")
    folder = copy.cohort(source)
    table = patients(folder)
    assert list(table["time_to_salvage_event"]) == [False, False]
    assert (folder / "figures" / "survival-time-to-salvage.svg").exists()
    assert "Time to salvage" in (folder / "report.html").read_text()
