"""The values of the shorthand's lines as FHIR: codes, dates, quantities, references."""

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from typing import Any

from fhircryo.mapping.yamlfile import read_yaml, with_base
from fhircryo.settings import DEFAULT_BASE
from fhircryo.setup.expectations.shorthand_line import Line, ShorthandError, named
from fhircryo.storage.shipped_files import shipped

Resource = dict[str, Any]

CODE = "name of a code; write a code as system|code"

#: Cases are computed with our own canonical URLs, whatever those of the site are.
BASE = DEFAULT_BASE
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ICD = "http://hl7.org/fhir/sid/icd-10"
DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


@cache
def shipped_content(name: str) -> Any:
    """The content of a shipped mapping file."""
    return with_base(read_yaml(shipped("mappings") / name), BASE)


def names(kind: str) -> dict[str, str]:
    """The names of the shorthand: ``codes``, ``scales`` or ``clavien-snomed``."""
    found: dict[str, str] = shipped_content("shorthand.yaml")[kind]
    return found


def shipped_code(name: str) -> str:
    """The first shipped code of a concept, as ``system|code``."""
    concepts = shipped_content("concepts.yaml")["concepts"]
    first = named(concepts, name, "concept")["codes"][0]
    return f"{first['system']}|{first['code']}"


def moment(text: str) -> str:
    """A FHIR dateTime; a time without seconds or offset gets ``:00`` and ``+01:00``."""
    if "T" not in text:
        return text
    day, time = text.split("T")
    clock = re.fullmatch(r"(\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?", time)
    if clock is None:
        raise ShorthandError(f"{text!r} is no dateTime")
    return f"{day}T{clock[1]}{clock[2] or ':00'}{clock[3] or '+01:00'}"


def concept(name: str, *more: str) -> dict[str, Any]:
    """A CodeableConcept of codes by name or as ``system|code``, or ``text:...`` alone."""
    if name.startswith("text:"):
        return {"text": name[5:]}
    codings = []
    for one in (name, *more):
        system, bar, code = one.rpartition("|")
        if re.fullmatch(r"[A-Z]\d\d(\.\w+)?", one):
            system = ICD
        elif not bar:
            system, _, code = named(names("codes"), one, CODE).rpartition("|")
        codings.append({"system": system, "code": code} if system else {"code": code})
    return {"coding": codings}


def concepts(names: str) -> dict[str, Any]:
    """A CodeableConcept of one code or several, ``a,b``; see ``concept``."""
    return concept(names) if names.startswith("text:") else concept(*names.split(","))


def absent_reason(code: str) -> dict[str, Any]:
    """A dataAbsentReason."""
    system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
    return {"coding": [{"system": system, "code": code}]}


def referred(type_: str, names: Iterable[str]) -> list[dict[str, str]]:
    """References to resources, by ``Type/id`` or by the id of one of the usual type."""
    return [{"reference": one if "/" in one else f"{type_}/{one}"} for one in names]


def subject(line: Line) -> dict[str, str]:
    """The subject of a resource, Patient/p1 unless the line says another."""
    return {"reference": line.get("subject", "Patient/p1")}


def updated(line: Line, resource: Resource) -> None:
    """Put ``updated=`` and ``version=`` into the resource's meta."""
    stamp, version = line.get("updated"), line.get("version")
    meta = {"lastUpdated": moment(stamp)} if stamp else {}
    if version:
        meta["versionId"] = version
    if meta:
        resource["meta"] = meta


def quantity(value: str, unit: str, system: str | None) -> dict[str, Any]:
    """A Quantity: ``[comparator]number`` and a unit as UCUM code, ``text:...``, ``code:...``."""
    parts = re.fullmatch(r"(<=|>=|<|>)?(-?\d+(?:\.\d+)?)?", value)
    if parts is None:
        raise ShorthandError(f"PSA value {value!r}")
    result: dict[str, Any] = {}
    if parts[2]:
        result["value"] = Decimal(parts[2]) if "." in parts[2] else int(parts[2])
    if parts[1]:
        result["comparator"] = parts[1]
    kind, colon, word = unit.partition(":")
    if unit == "nounit":
        return result
    if colon and kind == "text":
        return result | {"unit": word}
    if colon and kind == "code":
        return result | {"system": system or UCUM, "code": word}
    return result | {"unit": unit, "system": system or UCUM, "code": unit}


def stated(value: str) -> Resource:
    """A value: ``integer:3``, ``string:3b``, ``code:3``, ``quantity:3[:UNIT]``; else a concept."""
    kind, colon, word = value.partition(":")
    if colon and kind == "integer":
        return {"valueInteger": int(word)}
    if colon and kind in ("string", "code"):
        return {f"value{kind.capitalize()}": word}
    if colon and kind == "quantity":
        amount, _, unit = word.partition(":")
        known = {"unit": unit, "system": UCUM, "code": unit} if unit else {}
        return {"valueQuantity": {"value": Decimal(amount)} | known}
    return {"valueCodeableConcept": concept(value)}


def period(text: str) -> dict[str, str]:
    """A Period: ``a..b``, ``a..``, ``..b``."""
    start, _, end = text.partition("..")
    return {name: moment(when) for name, when in (("start", start), ("end", end)) if when}


def dated(resource: Resource, when: str, at: str | None) -> None:
    """Put the effective date into the element named by ``at``; ``-`` is no date.

    ``a..b`` is a period, ``a..`` one without an end.
    """
    if when == "-":
        return
    if ".." in when:
        resource["effectivePeriod"] = period(when)
    elif at == "dateTime":
        resource["effectiveDateTime"] = moment(when)
    elif at == "instant":
        resource["effectiveInstant"] = moment(when)
    elif at == "period":
        resource["effectivePeriod"] = {"start": moment(when)}
    elif at == "end":
        resource["effectivePeriod"] = {"end": moment(when)}
    else:
        raise ShorthandError(f"at={at}")
