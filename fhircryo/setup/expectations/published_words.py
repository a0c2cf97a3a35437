"""Compares what was published with what a case expects, in the short words of cases.

A result is a value (``Y``, ``N``, ``0.4``, ``<1``, ``IIIb``, ``none``, ``305 event``,
``143..235 d event`` for an interval, or ``absent CODE REASON``), and after it, in any order, what
else is to be checked: a date, a period ``a..b`` (``a..`` without an end), ``[final]``,
``name=value`` for a component (``-``: there is none), ``index=ID`` for the procedure that the
result is part of, ``protocol=ID``. ``-`` alone: nothing was published.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.endpoints.result import ComponentKey
from fhircryo.errors import UsageError
from fhircryo.mapping.yamlfile import nearest
from fhircryo.record.items import Reason
from fhircryo.runs.in_memory import Outcome
from fhircryo.setup.expectations.fhir_values import BASE, SNOMED, UCUM, names
from fhircryo.setup.expectations.questionnaire_lines import shipped_marks

YES_NO = "http://terminology.hl7.org/CodeSystem/v2-0136"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ABSENT_CODES = ("unknown", "temp-unknown", "not-applicable")
SCALES = {"clavien-dindo", "sir-2003", "ctcae-grade"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(\.\.(\d{4}-\d\d-\d\d)?)?")
_STATUS = re.compile(r"\[(final|preliminary)]")


#: Words by the name of what they are of.
Compared = dict[str, str]


class ExpectationError(UsageError):
    """An expectation that cannot be read."""


class UnexpectedResult(Exception):
    """A published Observation is not built as the definitions say: a bug of this program."""


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise UnexpectedResult(otherwise)


@cache
def component_names() -> frozenset[str]:
    """The names of all components: those of endpoints, and the marks of instruments."""
    return frozenset(map(str, ComponentKey)) | shipped_marks()


def coding(concept: dict[str, Any], system: str) -> str | None:
    """The code of a system in a CodeableConcept."""
    codes: list[str] = [
        found["code"] for found in concept.get("coding", []) if found["system"] == system
    ]
    _require(len(codes) <= 1, f"two codings of {system}")
    return codes[0] if codes else None


def number(value: Any) -> str:
    """A number as it is written in the JSON."""
    _require(isinstance(value, int | Decimal), f"{value!r} is not an exact number")
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def grade(concept: dict[str, Any]) -> str | None:
    """Our own code of a grade; the SNOMED CT code beside it has to be the same grade."""
    for scale in SCALES:
        own = coding(concept, f"{BASE}/CodeSystem/{scale}")
        if own is not None:
            beside = coding(concept, SNOMED)
            expected = names("clavien-snomed").get(own) if scale == "clavien-dindo" else None
            _require(beside == expected, f"{own} with SNOMED CT {beside}")
            return own
    return None


def range_words(given: dict[str, Any]) -> str:
    """A range of whole days, ``143..235 d``."""
    for bound in (given["low"], given["high"]):
        _require((bound["system"], bound["code"]) == (UCUM, "d"), f"a range in {bound}")
    return f"{number(given['low']['value'])}..{number(given['high']['value'])} d"


def value_of(element: dict[str, Any]) -> str | None:
    """The value of an Observation or of a component, in words; None if it has none."""
    if "valueQuantity" in element:
        quantity = element["valueQuantity"]
        return f"{quantity.get('comparator', '')}{number(quantity['value'])}"
    if "valueRange" in element:
        return range_words(element["valueRange"])
    if "valueInteger" in element:
        return number(element["valueInteger"])
    if "valueDateTime" in element:
        return str(element["valueDateTime"])
    if "valuePeriod" in element:
        return f"{element['valuePeriod']['start']}..{element['valuePeriod']['end']}"
    if "valueCodeableConcept" in element:
        concept = element["valueCodeableConcept"]
        time_point = coding(concept, f"{BASE}/CodeSystem/time-point")
        return coding(concept, YES_NO) or time_point or grade(concept)
    return None


def key_of(observation: dict[str, Any]) -> str:
    """The name of an endpoint in the tables: its key and, if it has one, its time point."""
    key = coding(observation["code"], f"{BASE}/CodeSystem/endpoint")
    _require(key is not None, "an Observation without our code")
    time_point = components(observation).get("time-point")
    return f"{key} {time_point}" if time_point else str(key)


def components(observation: dict[str, Any]) -> dict[str, str | None]:
    """The components by name."""
    found: dict[str, str | None] = {}
    for component in observation.get("component", []):
        name = coding(component["code"], f"{BASE}/CodeSystem/component")
        _require(name in component_names(), f"component {name}")
        _require(name not in found, f"component {name} twice")
        found[str(name)] = value_of(component)
    return found


def unit_of(observation: dict[str, Any]) -> str | None:
    """The UCUM unit of a quantity."""
    quantity = observation.get("valueQuantity")
    if quantity is None:
        return None
    _require(quantity["system"] == UCUM, f"a unit of {quantity['system']}")
    return str(quantity["code"])


def published_unit(key: str) -> str | None:
    """The unit of an endpoint's values by the catalogue; None if they are no quantities.

    ``key``: the endpoint's key, with an instrument and a time point where it has them.
    """
    for endpoint in CATALOGUE:
        code = key.partition(" ")[0]
        if code == endpoint.key or (
            endpoint.per_instrument and code.startswith(f"{endpoint.key}-")
        ):
            return endpoint.value_type.unit or None
    known = [endpoint.key for endpoint in CATALOGUE]
    raise ExpectationError(f"{key}: no such endpoint{nearest(key, known)}")


def effective(observation: dict[str, Any]) -> str:
    """The date or the period of a result."""
    if "effectiveDateTime" in observation:
        return str(observation["effectiveDateTime"])
    period = observation["effectivePeriod"]
    return f"{period.get('start', '')}..{period.get('end', '')}"


def main_words(observation: dict[str, Any]) -> str:
    """The value of a result in the words of the tables."""
    value = value_of(observation)
    if value is None:
        absent = observation["dataAbsentReason"]
        own = coding(absent, f"{BASE}/CodeSystem/reason")
        return f"absent {coding(absent, ABSENT)} {own}"
    _require("dataAbsentReason" not in observation, "a value, and the reason why there is none")
    key = key_of(observation)
    unit = published_unit(key)
    if "event" in components(observation):
        words = {"Y": "event", "N": "censored"}
        value = f"{value} {words[components(observation)['event'] or '']}"
    if "valueRange" not in observation:
        _require(unit_of(observation) == unit, f"{key}: unit {unit_of(observation)}, not {unit}")
    return value


def _check_reason(name: str) -> None:
    known = [str(reason) for reason in Reason]
    if name not in known:
        raise ExpectationError(f"{name!r}: no such reason{nearest(name, known)}")


def _split(expected: str) -> tuple[str, list[str]]:
    """The main words of an expectation, and the words of the other checks."""
    words = expected.split()
    if not words:
        raise ExpectationError("an expectation is empty; write - for what is not published")
    if words[0] == "absent":
        if len(words) < 3 or words[1] not in ABSENT_CODES:
            raise ExpectationError(
                f"{expected!r}: write it as absent CODE REASON, where CODE is one of"
                f" {', '.join(ABSENT_CODES)}"
            )
        _check_reason(words[2])
        main, rest = words[:3], words[3:]
    elif words[1:3] == ["d", "event"]:
        main, rest = words[:3], words[3:]
    elif len(words) > 1 and words[1] in ("event", "censored"):
        main, rest = words[:2], words[2:]
    else:
        main, rest = words[:1], words[1:]
    return " ".join(main), rest


def shown(observation: dict[str, Any], expected: str) -> str:
    """What was published, in the same detail as the expectation."""
    _, rest = _split(expected)
    words = [main_words(observation)]
    for word in rest:
        name, equals, _ = word.partition("=")
        if _STATUS.fullmatch(word):
            words.append(f"[{observation['status']}]")
        elif _DATE.fullmatch(word):
            words.append(effective(observation))
        elif equals and name in component_names():
            words.append(f"{name}={components(observation).get(name) or '-'}")
        elif equals and name == "index":
            references = [reference["reference"] for reference in observation["partOf"]]
            words.append(f"index={','.join(references).removeprefix('Procedure/')}")
        elif equals and name == "protocol":
            words.append(f"protocol={observation['method']['text'].partition(' ')[0]}")
        else:
            raise ExpectationError(f"{expected!r}: {word!r} is not known")
    return " ".join(words)


def results(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """The Observations by ``Patient/ID KEY``, each of which occurs once."""
    found: dict[str, dict[str, Any]] = {}
    for observation in outcome.observations:
        name = f"{observation['subject']['reference']} {key_of(observation)}"
        _require(name not in found, f"{name} twice")
        found[name] = observation
    return found


def compare_results(
    outcome: Outcome, expect: Mapping[str, str], subject: str
) -> tuple[Compared, Compared]:
    """The expected and the published words of endpoints, ``[PATIENT/]KEY``.

    ``subject``: the id of the patient where none is named.
    """
    found = results(outcome)
    got, wanted = {}, {}
    for key, expected in expect.items():
        patient, _, endpoint = key.rpartition("/")
        observation = found.get(f"Patient/{patient or subject} {endpoint}")
        wanted[key] = " ".join(expected.split())
        if observation is None:
            published_unit(endpoint)
            _split(expected)
            got[key] = "-"
        elif expected == "-":
            got[key] = main_words(observation)
        else:
            got[key] = shown(observation, expected)
    return wanted, got


def other_results(
    outcome: Outcome, expect: Mapping[str, str], subject: str
) -> tuple[Compared, Compared]:
    """The published words of the patient's endpoints that nothing is expected of."""
    of_subject = f"Patient/{subject} "
    got = {
        name.removeprefix(of_subject): main_words(observation)
        for name, observation in results(outcome).items()
        if name.startswith(of_subject) and name.removeprefix(of_subject) not in expect
    }
    return dict.fromkeys(got, "-"), got


def compare_reasons(outcome: Outcome, reasons: Mapping[str, str]) -> tuple[Compared, Compared]:
    """The expected and the reported reasons of resources.

    They are named by ``Type/id``; or ``REASON TYPE CODE`` stands for how many were counted.
    """
    got = {}
    for name, expected in reasons.items():
        words = name.split()
        if len(words) == 3:
            got[name] = str(_counted(outcome, *words))
            continue
        if expected != "-":
            _check_reason(expected.removesuffix(" (used)"))
        found = sorted(
            f"{issue.reason} (used)" if issue.used else str(issue.reason)
            for issue in outcome.issues
            if issue.name == name
        )
        got[name] = ", ".join(found) or "-"
    return dict(reasons), got


def _counted(outcome: Outcome, reason: str, kind: str, code: str) -> int:
    """How many resources of a type were counted for a reason; code ``*`` means any code."""
    _check_reason(reason)
    return sum(
        count
        for (found, type_, label), count in outcome.counted.items()
        if (str(found), type_) == (reason, kind) and code in ("*", label)
    )
