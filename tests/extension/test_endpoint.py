"""A new endpoint: a module, a catalogue entry, a line that registers it, its protocol fields, its
spec rows; a new type of value is one entry more.
"""

import pandas as pd

from tests.extension.checkout import Checkout, hospital, only, patients

PROTOCOLS = ("mappings/protocols/bomers-2020.yaml", "mappings/protocols/oishi-2019.yaml")

NADIR_TIME = '''"""Time to the PSA nadir."""

from decimal import Decimal

from fhircryo.endpoints.catalogue import TIME_TO_NADIR
from fhircryo.endpoints.failure import psa_evidence
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.result import Absent, Reason, Result, Role, absent


def time_to_nadir(course: PatientCourse) -> Result:
    """Return the months from D0 to the PSA nadir."""
    d0, psa, protocol = course.line.d0, course.psa, course.protocol
    if psa.nadir is None or len(psa.points) < protocol.time_to_nadir.minimum_results:
        return absent(TIME_TO_NADIR, (d0, None), Absent.UNKNOWN, Reason.TOO_FEW_PSA)
    day = psa.nadir.day
    months = Decimal((day - d0).days) / protocol.doubling_time.days_per_month
    return Result(
        TIME_TO_NADIR,
        day,
        day,
        final=False,
        value=months.quantize(Decimal("0.1")),
        evidence=(psa_evidence(Role.NADIR, psa.nadir),),
    )
'''

NADIR_ROWS = """\
title: Time to the PSA nadir
about: The months from D0 to the PSA nadir.
cases:
  - id: to-nadir-01
    say: The nadir is the second result, 182 days after D0
    psa: [2016-03-01 0.5, 2016-07-10 0.2, 2017-03-02 0.4]
    expect: {time-to-nadir: 6 2016-07-10}
  - id: to-nadir-02
    say: Two results are too few
    psa: [2016-03-01 0.5, 2016-07-10 0.2]
    expect: {time-to-nadir: absent unknown too-few-psa}
  - id: to-nadir-03
    say: The protocol says how many results are needed
    psa: [2016-03-01 0.5, 2016-07-10 0.2]
    protocol: {time_to_nadir: {minimum_results: 2}}
    expect: {time-to-nadir: 6}
"""

LOCAL_TIME = '''"""Time to local recurrence."""

from fhircryo.endpoints.catalogue import TIME_TO_LOCAL
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.result import (
    Absent,
    ComponentKey,
    Reason,
    Result,
    ResultComponent,
    absent,
)
from fhircryo.record.items import EventKind


def time_to_local(course: PatientCourse) -> Result:
    """Return the days from D0 to a local recurrence, else censored at the last contact."""
    d0, contact = course.line.d0, course.contact
    found = course.events.of(EventKind.LOCAL_RECURRENCE).precise
    if not found and contact is None:
        return absent(TIME_TO_LOCAL, (d0, None), Absent.UNKNOWN, Reason.NO_FOLLOW_UP)
    day = found[0].when.first if found else contact.day
    return Result(
        TIME_TO_LOCAL,
        day,
        day,
        final=bool(found),
        value=(day - d0).days,
        components=(ResultComponent(ComponentKey.EVENT, bool(found)),),
        evidence=((found[0] if found else contact).evidence(),),
    )
'''

LOCAL_ROWS = """\
title: Time to local recurrence
about: Days to the first local recurrence.
cases:
  - id: to-local-01
    say: Censored at the last contact
    psa: [2016-03-10 0.4]
    expect: {time-to-local: 60 censored}
  - id: to-local-02
    say: The first of several
    conditions: [local-recurrence onset=2016-09-01, local-recurrence onset=2016-02-09]
    expect: {time-to-local: 30 event}
  - id: to-local-03
    say: Without a contact
    expect: {time-to-local: absent unknown no-follow-up}
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
            'MONTHS = ValueType("months", "months", ValueForm.QUANTITY,'
            ' (Detail.REASON, Detail.DAYS), unit="mo", unit_words="months")\nSCORE = ValueType(',
        ),
    )
    copy.change(
        "fhircryo/endpoints/catalogue.py", ("    GRADE,\n    PSA,", "    GRADE, MONTHS, PSA,")
    )
    entry = '"time-to-nadir", "Months to the PSA nadir", MONTHS, "after D0"'
    add_endpoint(copy, "TIME_TO_NADIR", entry, "nadir_time", NADIR_TIME)
    copy.change(
        "fhircryo/mapping/protocol.py",
        (
            "class RecurrenceRules(StrictModel):",
            "class TimeToNadir(StrictModel):\n    minimum_results: int\n\n\n"
            "class RecurrenceRules(StrictModel):",
        ),
        (
            "    recurrence: RecurrenceRules\n",
            "    recurrence: RecurrenceRules\n    time_to_nadir: TimeToNadir\n",
        ),
    )
    for name in PROTOCOLS:
        copy.change(name, ("\nrecurrence:", "\ntime_to_nadir: {minimum_results: 3}\nrecurrence:"))
    copy.add("tests/spec/tables/99-time-to-nadir.yaml", NADIR_ROWS)
    assert copy.touched == {
        "fhircryo/endpoints/catalogue.py",
        "fhircryo/endpoints/nadir_time.py",
        "fhircryo/endpoints/patient_endpoints.py",
        "fhircryo/endpoints/value_types.py",
        "fhircryo/mapping/protocol.py",
        *PROTOCOLS,
        "tests/spec/tables/99-time-to-nadir.yaml",
    }
    copy.check_rows()
    source = hospital(tmp_path / "in")
    first, second = only(copy.compute(source), "time-to-nadir")
    assert first["valueQuantity"] == {
        "value": 1.7,
        "unit": "mo",
        "system": "http://unitsofmeasure.org",
        "code": "mo",
    }
    assert second["dataAbsentReason"]["coding"][1]["code"] == "too-few-psa"
    (explained,) = copy.explain(source, "p1", "time-to-nadir")
    assert explained["value"] == "1.7 months"
    assert "nadir 0.5 ng/mL (Observation/a1, 2016-03-01)" in explained["because"]
    folder = copy.cohort(source, "--no-report")
    table = patients(folder)
    assert table.loc["p1", ["time_to_nadir", "time_to_nadir_days"]].tolist() == [1.7, 51]
    assert table.loc["p2", "time_to_nadir_reason"] == "too-few-psa"
    rows = pd.read_parquet(folder / "endpoints.parquet").query("endpoint == 'time-to-nadir'")
    assert rows.iloc[0]["unit"] == "mo"
    assert "time_to_nadir," in (folder / "redcap_data_dictionary.csv").read_text()
    assert '"time-to-nadir"' in (folder / "flow.json").read_text()


def test_a_second_endpoint_of_a_type_that_is_there(tmp_path):
    """Of days, event or censored: the report draws its curve as well."""
    copy = Checkout(tmp_path / "copy")
    entry = '"time-to-local", "Days to local recurrence", TIME_TO_EVENT, "after D0"'
    add_endpoint(copy, "TIME_TO_LOCAL", entry, "local_time", LOCAL_TIME)
    copy.add("tests/spec/tables/99-time-to-local.yaml", LOCAL_ROWS)
    assert len(copy.touched) == 4
    copy.check_rows()
    source = hospital(tmp_path / "in")
    first, _ = only(copy.compute(source), "time-to-local")
    assert first["valueQuantity"]["code"] == "d"
    (explained,) = copy.explain(source, "p1", "time-to-local")
    assert explained["value"].endswith(" days, censored")
    folder = copy.cohort(source)
    table = patients(folder)
    assert list(table["time_to_local_event"]) == [False, False]
    assert (folder / "figures" / "survival-time-to-local.svg").exists()
    assert "Days to local recurrence" in (folder / "report.html").read_text()
