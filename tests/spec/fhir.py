"""The shorthand of the tables, turned into FHIR R4 resources.

A shorthand is one line of words: leading words by position, then flags and ``name=value`` pairs.
Words with spaces stand in quotes. A word that is not known is an error, so a typo cannot pass.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]

BASE = "https://w3id.org/fhircryo"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
CPT = "http://www.ama-assn.org/go/cpt"
UCUM = "http://unitsofmeasure.org"
ATC = "http://www.whocc.no/atc"
ICD = "http://hl7.org/fhir/sid/icd-10"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
CAUSALITY = "http://terminology.hl7.org/CodeSystem/adverse-event-causality-assess"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
ITEM_WEIGHT = "http://hl7.org/fhir/StructureDefinition/itemWeight"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition"
#: The primary cancer of a Condition: mCODE STU1 and STU2; and since then, in mCODE's profile of
#: secondary cancers.
PRIMARY = f"{MCODE}/mcode-related-primary-cancer-condition"
RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"
SECONDARY_CANCER = f"{MCODE}/mcode-secondary-cancer-condition"
DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
AE_GRADE = "http://hl7.org/fhir/uv/ae-research-ig/StructureDefinition/ae-grade"

#: Names of codes: system and code. A code of ICD-10 needs no name: ``C79.5``.
CODES = {
    "cpt": (CPT, "55873"),
    "cryotherapy": (SNOMED, "26782000"),
    "metastasis": (SNOMED, "314994000"),
    "bone-metastasis": (SNOMED, "94222008"),
    "nodal-recurrence": (ICD, "C77.5"),
    "unclear-site": (ICD, "C77.9"),
    "prostate-cancer": (ICD, "C61"),
    "other-malignancy": (ICD, "C18.7"),
    "local-recurrence": (f"{BASE}/CodeSystem/concept", "local-recurrence"),
    "worsened": (SNOMED, "271299001"),
    "stable": (SNOMED, "359746009"),
    "improved": (SNOMED, "268910001"),
    "successful": (SNOMED, "385669000"),
    "partially-successful": (SNOMED, "385670004"),
    "unsuccessful": (SNOMED, "385671000"),
    "prostate": (SNOMED, "41216001"),
    "unknown-cause": ("http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "UNK"),
    "unknown": (SNOMED, "261665006"),
    "not-related": (NCIT, "C53256"),
    "unlikely-related": (NCIT, "C53257"),
    "unlikely": (CAUSALITY, "unlikely"),
    "possible": (CAUSALITY, "possible"),
    "hormone": (ATC, "L02AE02"),
    "systemic": (ATC, "L01CD02"),
    "local": (SNOMED, "26294005"),
    "leuprorelin": (ATC, "L02AE02"),
    "antiandrogen": (ATC, "L02BB"),
    "paracetamol": (ATC, "N02BE01"),
    "prostatectomy": (SNOMED, "26294005"),
    "radiotherapy": (SNOMED, "108290001"),
    "seeds": (SNOMED, "425767004"),
    "salvage-therapy": (f"{BASE}/CodeSystem/concept", "salvage-therapy"),
    "auasi": (LOINC, "80883-2"),
    "ipss-qol": (LOINC, "81090-3"),
    "eq-vas": (SNOMED, "736535009"),
    "clavien-grading": (SNOMED, "789279006"),
    "disease-status": (LOINC, "97509-4"),
    "distant-metastasis": (SNOMED, "385421009"),
    "cm-category": (LOINC, "21907-1"),
    "pm-category": (LOINC, "21901-4"),
    "course": (SNOMED, "396432002"),
}
SCALES = {
    "clavien": f"{BASE}/CodeSystem/clavien-dindo",
    "sir": f"{BASE}/CodeSystem/sir-2003",
    "ctcae": f"{BASE}/CodeSystem/ctcae-grade",
    "sct": SNOMED,
}
CLAVIEN_SNOMED = {
    "I": "1367519000",
    "II": "1367520006",
    "III": "1367521005",
    "IIIa": "1367522003",
    "IIIb": "1367523008",
    "IV": "1367524002",
    "IVa": "1367525001",
    "IVb": "1367526000",
    "V": "1367527009",
}
OBSERVATION_STATUSES = {
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "cancelled",
    "entered-in-error",
    "unknown",
}
PROCEDURE_STATUSES = {
    "preparation",
    "in-progress",
    "not-done",
    "on-hold",
    "stopped",
    "completed",
    "entered-in-error",
    "unknown",
}


class TableError(ValueError):
    """A row of the tables says something that the shorthand does not know."""


def named(table: Mapping[str, Any], name: str, what: str, add: str) -> Any:
    """The entry of a table; ``add``: where an entry of a new name is added."""
    try:
        return table[name]
    except KeyError:
        known = ", ".join(table)
        raise TableError(f"{name!r}: no such {what}; add it to {add}. Known: {known}") from None


MAPPINGS = Path(__file__).parents[2] / "mappings"
INSTRUMENTS = MAPPINGS / "instruments"


@cache
def shipped_code(name: str) -> str:
    """The first shipped code of a concept, as ``system|code``."""
    content = yaml.safe_load((MAPPINGS / "concepts.yaml").read_text("utf-8"))["concepts"]
    first = named(content, name, "concept", "mappings/concepts.yaml")["codes"][0]
    return f"{first['system'].replace('{base}', BASE)}|{first['code']}"


@cache
def shipped_marks() -> frozenset[str]:
    """The keys of the marks of all shipped instruments."""
    read = [yaml.safe_load(path.read_text("utf-8")) for path in INSTRUMENTS.glob("*.yaml")]
    return frozenset(mark["key"] for one in read for mark in one["instrument"].get("marks", ()))


@cache
def questionnaire_items() -> dict[str, list[str]]:
    """By questionnaire its linkIds, as the shipped instruments have them.

    Of instruments that share a questionnaire, the one of its name comes first.
    """
    found: dict[str, list[tuple[bool, list[str]]]] = {}
    for path in sorted(INSTRUMENTS.glob("*.yaml")):
        instrument = yaml.safe_load(path.read_text("utf-8"))["instrument"]
        links = [item["link_ids"][0] for item in instrument["items"]]
        for canonical in instrument.get("canonicals", ()):
            name = canonical.rpartition("/")[2]
            found.setdefault(name, []).append((name != instrument["key"], links))
    return {
        name: [link for _, links in sorted(parts) for link in links]
        for name, parts in found.items()
    }


class Line:
    """A shorthand taken apart; every word has to be taken, see ``done``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        self.named: dict[str, list[str]] = {}
        for word in shlex.split(text):
            name, equals, value = word.partition("=")
            if equals and re.fullmatch(r"[a-z][a-z-]*", name):
                self.named.setdefault(name, []).append(value)
            else:
                self.words.append(word)

    def next(self, default: str | None = None) -> str:
        """The next word by position."""
        if self.words:
            return self.words.pop(0)
        if default is None:
            raise TableError(f"{self.text!r}: a word is missing")
        return default

    def flag(self, allowed: Iterable[str], default: str) -> str:
        """The one word of a set that stands in the line."""
        found = [word for word in self.words if word in allowed]
        if len(found) > 1:
            raise TableError(f"{self.text!r}: {found}")
        if found:
            self.words.remove(found[0])
            return found[0]
        return default

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of ``name=value``, given at most once."""
        values = self.named.pop(name, [])
        if len(values) > 1:
            raise TableError(f"{self.text!r}: {name} twice")
        return values[0] if values else default

    def all(self, name: str) -> list[str]:
        """The values of ``name=value``, given any number of times."""
        return self.named.pop(name, [])

    def done(self) -> None:
        """Raise an error if a word was not taken."""
        if self.words or self.named:
            raise TableError(f"{self.text!r}: not known: {self.words + list(self.named)}")


def moment(text: str) -> str:
    """A FHIR dateTime; a time without seconds or offset gets ``:00`` and ``+01:00``."""
    if "T" not in text:
        return text
    day, time = text.split("T")
    clock = re.fullmatch(r"(\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?", time)
    if clock is None:
        raise TableError(f"{text!r} is no dateTime")
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
            system, code = named(CODES, one, "code", "CODES in tests/spec/fhir.py")
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


# --- PSA -----------------------------------------------------------------------------------------


def quantity(value: str, unit: str, system: str | None) -> dict[str, Any]:
    """A Quantity: ``[comparator]number`` and a unit as UCUM code, ``text:...``, ``code:...``."""
    parts = re.fullmatch(r"(<=|>=|<|>)?(-?\d+(?:\.\d+)?)?", value)
    if parts is None:
        raise TableError(f"PSA value {value!r}")
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


def psa(text: str, number: int) -> Resource:
    """``DATE VALUE [UNIT] [STATUS]``; ids a, b, c ... by position.

    VALUE: a number with its comparator, ``str:...`` for a valueString, ``int:...`` for a
    valueInteger, ``-`` for none. ``at=instant|period``: the element that holds the date.
    ``specimen=``: as shown; ``contained=``: the type of one that is contained; ``method=``,
    ``category=``, ``site=``: codes. ``inside=CODE``: the result is a component of an Observation of
    that code.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "Observation", "id": line.get("id", chr(97 + number))}
    set_conditions(line, resource)
    updated(line, resource)
    resource["status"] = line.flag(OBSERVATION_STATUSES, "final")
    resource["code"] = concepts(line.get("code", f"{LOINC}|2857-1") or "")
    resource["subject"] = subject(line)
    when, value = line.next(), line.next()
    dated(resource, when, line.get("at", "dateTime"))
    issued = line.get("issued")
    if issued:
        resource["issued"] = moment(issued)
    system = line.get("system")
    if value.startswith("str:"):
        resource["valueString"] = value[4:]
    elif value.startswith("int:"):
        resource["valueInteger"] = int(value[4:])
    elif value != "-":
        unit = line.next("ng/mL")
        resource["valueQuantity"] = quantity("" if value == "?" else value, unit, system)
    absent = line.get("absent")
    if absent:
        resource["dataAbsentReason"] = absent_reason(absent)
    inside = line.get("inside")
    if inside:
        _move_into_component(resource, inside)
    line.done()
    return resource


def _move_into_component(resource: Resource, code: str) -> None:
    """Make the code and value of an Observation a component; its own code becomes ``code``."""
    component = {
        name: resource.pop(name)
        for name in ("code", "valueQuantity", "valueString", "valueInteger", "dataAbsentReason")
        if name in resource
    }
    resource["code"] = concept(code)
    resource["component"] = [component]


def set_conditions(line: Line, resource: Resource) -> None:
    """Put what a code may have to stand with into an Observation."""
    for name, element in (("method", "method"), ("site", "bodySite")):
        value = line.get(name)
        if value:
            resource[element] = concept(value)
    category, shown, inside = line.get("category"), line.get("specimen"), line.get("contained")
    if category:
        resource["category"] = [concept(category)]
    if shown:
        resource["specimen"] = {"display": shown}
    if inside:
        kind = {"resourceType": "Specimen", "id": "s", "type": concept(inside)}
        resource["contained"] = [kind]
        resource["specimen"] = {"reference": "#s"}


def score(text: str, number: int) -> Resource:
    """``DATE CODE VALUE [STATUS]``: a questionnaire's score as an Observation; ids o1, o2 ...

    VALUE: as that of a PSA.
    """
    when, code, rest = text.split(" ", 2)
    value, _, more = rest.partition(" ")
    unit = "" if value == "-" or ":" in value else "{score} "
    resource = psa(f"{when} {value} {unit}{more}", number)
    resource["code"] = concept(code)
    if "id=" not in text:
        resource["id"] = f"o{number + 1}"
    return resource


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
        raise TableError(f"at={at}")


# --- clinical events -----------------------------------------------------------------------------


def condition(text: str, number: int) -> Resource:
    """``CODE [onset=] [onset-start=] [recorded=] [status=] [clinical=]``; ids c1, c2 ...

    CODE: one or several, ``a,b``. ``status=text:...``: words; ``status=absent``: only the reason
    for which there is none; ``status=SYSTEM|CODE``: as shown. ``primary=ID``: the Condition that it
    names as its primary cancer; ``related=ID``: likewise, in the way of later editions of mCODE.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "Condition", "id": line.get("id", f"c{number + 1}")}
    updated(line, resource)
    put_primaries(line, resource)
    status = line.get("status")
    if status:
        resource["verificationStatus"] = verification(status)
    clinical = line.get("clinical")
    if clinical:
        system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
        resource["clinicalStatus"] = {"coding": [{"system": system, "code": clinical}]}
    resource["code"] = concepts(line.next())
    resource["subject"] = subject(line)
    onset, start, words = line.get("onset"), line.get("onset-start"), line.get("onset-words")
    if onset:
        resource["onsetDateTime"] = moment(onset)
    if start:
        resource["onsetPeriod"] = {"start": moment(start)}
    if words:
        resource["onsetString"] = words
    recorded = line.get("recorded")
    if recorded:
        resource["recordedDate"] = moment(recorded)
    line.done()
    return resource


def put_primaries(line: Line, resource: Resource) -> None:
    """Put the primary cancers of a line, ``primary=`` and ``related=``, into a Condition."""
    for name, url in (("primary", PRIMARY), ("related", RELATED)):
        for one in referred("Condition", line.all(name)):
            extension = {"url": url, "valueReference": one}
            resource.setdefault("extension", []).append(extension)
            if url == RELATED:
                resource.setdefault("meta", {})["profile"] = [SECONDARY_CANCER]


def verification(status: str) -> dict[str, Any]:
    """A verificationStatus: a code, ``text:...``, ``system|code``, or ``absent``."""
    if status == "absent":
        return {"extension": [{"url": DATA_ABSENT, "valueCode": "unknown"}]}
    if status.startswith("text:") or "|" in status:
        return concept(status)
    return concept(f"http://terminology.hl7.org/CodeSystem/condition-ver-status|{status}")


def finding(text: str, number: int) -> Resource:
    """``DATE CODE [VALUE] [STATUS]``: an Observation that may state an event; ids f1, f2 ...

    VALUE: a code, ``text:...``, ``string:...``, or none. ``component=CODE,VALUE``: any number of
    them, VALUE as before or ``none``. ``focus=ID``: a Condition. ``absent=``: a dataAbsentReason.
    ``site=``: the body site. ``at=``: as of a PSA.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "Observation", "id": line.get("id", f"f{number + 1}")}
    updated(line, resource)
    resource["status"] = line.flag(OBSERVATION_STATUSES, "final")
    resource["subject"] = subject(line)
    dated(resource, line.next(), line.get("at", "dateTime"))
    resource["code"] = concepts(line.next())
    value = line.next("none")
    if value != "none":
        resource.update(stated(value))
    put_components(line, resource)
    focus, site, absent = line.all("focus"), line.get("site"), line.get("absent")
    if focus:
        resource["focus"] = referred("Condition", focus)
    if site:
        resource["bodySite"] = concept(site)
    if absent:
        resource["dataAbsentReason"] = absent_reason(absent)
    line.done()
    return resource


def put_components(line: Line, resource: Resource) -> None:
    """Put the components of a line, ``component=CODE,VALUE``, into an Observation."""
    for given in line.all("component"):
        code, _, value = given.partition(",")
        component = {"code": concept(code), **({} if value == "none" else stated(value))}
        resource.setdefault("component", []).append(component)


def progression(text: str, number: int) -> Resource:
    """``DATE [VALUE] [STATUS] [focus=]``: a disease status, worsened by default; ids s1, s2 ..."""
    when, _, rest = text.partition(" ")
    statuses = OBSERVATION_STATUSES
    if not rest or rest.split()[0] in statuses or "=" in rest.split()[0]:
        rest = f"worsened {rest}"
    made = finding(f"{when} disease-status {rest}", number)
    return made if "id=" in rest else made | {"id": f"s{number + 1}"}


def cause(text: str, number: int) -> Resource:
    """``DATE VALUE [STATUS]``: a cause of death as an Observation; ids d1, d2 ...

    VALUE: as that of a finding.
    """
    when, _, rest = text.partition(" ")
    made = finding(f"{when} {LOINC}|69453-9 {rest}", number)
    return made if "id=" in rest else made | {"id": f"d{number + 1}"}


def characteristic(text: str, number: int) -> Resource:
    """``DATE CONCEPT VALUE [STATUS]``: an Observation of a baseline characteristic; ids m1, m2 ...

    CONCEPT: its first shipped code is used (``isup-grade-group``, ``gleason-score``,
    ``clinical-t-category``, ``prostate-volume``), or ``system|code``. VALUE: as that of a finding,
    or ``quantity:NUMBER:UNIT``, ``integer:NUMBER``.
    """
    when, _, rest = text.partition(" ")
    name, _, more = rest.partition(" ")
    code = name if "|" in name else shipped_code(name)
    made = finding(f"{when} {code} {more}", number)
    return made if "id=" in rest else made | {"id": f"m{number + 1}"}


# --- complications -------------------------------------------------------------------------------


def grade_coding(scale: str, grade: str) -> dict[str, str]:
    """The coding of a grade; scale ``sct``: Clavien-Dindo in SNOMED CT."""
    add = "tests/spec/fhir.py"
    system = named(SCALES, scale, "scale of grades", f"SCALES in {add}")
    if scale == "sct":
        grade = named(CLAVIEN_SNOMED, grade, "grade in SNOMED CT", f"CLAVIEN_SNOMED in {add}")
    return {"system": system, "code": grade}


def adverse_event(text: str, number: int) -> Resource:
    """``[DATE] [clavien=GRADE@PLACE] [sir=] [ctcae=] [sct=] [suspect=]``; ids ae1, ae2 ...

    PLACE: ``grade`` (the extension, default), ``severity``, ``event``, ``seriousness``,
    ``category``. ``actuality=none`` leaves that element out. ``event=``: the event's code, or
    ``text:...``. ``extension=URL,integer:3``: another extension; ``string:``, ``code:`` as well.
    ``suspect=ID``: a Procedure, or ``Type/id``; ``suspect=ID@CODE@CODE``: with its assessments of
    causality (``not-related``, ``unlikely-related``, ``unlikely``, ``possible``). ``detected=``,
    ``recorded=``: other dates. ``outcome=fatal``: a code of the outcome.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "AdverseEvent", "id": line.get("id", f"ae{number + 1}")}
    actuality = line.get("actuality", "actual")
    if actuality != "none":
        resource["actuality"] = actuality
    resource["subject"] = subject(line)
    when, outcome = line.next("-"), line.get("outcome")
    if when != "-":
        resource["date"] = moment(when)
    for name, element in (("detected", "detected"), ("recorded", "recordedDate")):
        given_date = line.get(name)
        if given_date:
            resource[element] = moment(given_date)
    if outcome:
        system = "http://terminology.hl7.org/CodeSystem/adverse-event-outcome"
        resource["outcome"] = {"coding": [{"system": system, "code": outcome}]}
    for scale in SCALES:
        for given in line.all(scale):
            grade, _, place = given.partition("@")
            put_grade(resource, grade_coding(scale, grade), place or "grade")
    event = line.get("event")
    if event:
        resource["event"] = concept(event)
    for given in line.all("extension"):
        url, _, value = given.partition(",")
        resource.setdefault("extension", []).append({"url": url, **stated(value)})
    suspects = line.all("suspect")
    if suspects:
        resource["suspectEntity"] = [suspected(*one.split("@")) for one in suspects]
    line.done()
    return resource


def suspected(name: str, *assessments: str) -> Resource:
    """A suspectEntity with its assessments of causality."""
    entity: Resource = {"instance": referred("Procedure", [name])[0]}
    if assessments:
        entity["causality"] = [{"assessment": concept(one)} for one in assessments]
    return entity


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


def put_grade(resource: Resource, coding: dict[str, str], place: str) -> None:
    """Put a grade where it may stand; ``severity`` keeps the coding that FHIR R4 requires there."""
    if place == "grade":
        extension = {"url": AE_GRADE, "valueCodeableConcept": {"coding": [coding]}}
        resource.setdefault("extension", []).append(extension)
    elif place == "severity":
        system = "http://terminology.hl7.org/CodeSystem/adverse-event-severity"
        required = {"system": system, "code": "severe"}
        resource.setdefault("severity", {"coding": [required]})["coding"].append(coding)
    elif place in ("event", "seriousness"):
        resource.setdefault(place, {"coding": []})["coding"].append(coding)
    elif place == "category":
        resource.setdefault("category", []).append({"coding": [coding]})
    else:
        raise TableError(f"no place for a grade: {place}")


def grading(text: str, number: int) -> Resource:
    """``DATE GRADE [STATUS] [focus=TYPE/ID] [partOf=]``; ids g1, g2 ...

    GRADE: Clavien-Dindo in SNOMED CT; ``own:GRADE`` in our code system; ``none`` for no value;
    ``as:VALUE`` for ``integer:3``, ``string:3b``, ``text:3b`` or a code. ``code=``: that of another
    grading; ``component=CODE,VALUE``: likewise.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "Observation", "id": line.get("id", f"g{number + 1}")}
    resource["status"] = line.flag(OBSERVATION_STATUSES, "final")
    resource["code"] = concept(line.get("code", "clavien-grading"))
    resource["subject"] = subject(line)
    dated(resource, line.next(), "dateTime")
    given = line.next()
    own, colon, grade = given.rpartition(":")
    put_components(line, resource)
    if given.startswith("as:"):
        resource.update(stated(given[3:]))
    elif grade != "none":
        coding = grade_coding("clavien" if colon and own == "own" else "sct", grade)
        resource["valueCodeableConcept"] = {"coding": [coding]}
    for name, element in (("focus", "focus"), ("part-of", "partOf")):
        references = line.all(name)
        if references:
            resource[element] = [{"reference": one} for one in references]
    line.done()
    return resource


# --- questionnaires ------------------------------------------------------------------------------


def answer_as(kind: str, value: str) -> dict[str, Any]:
    """An answer that holds a number in one of FHIR's ways."""
    if kind == "integer":
        return {"valueInteger": int(value)}
    if kind == "decimal":
        return {"valueDecimal": Decimal(value)}
    if kind == "quantity":
        return {"valueQuantity": {"value": Decimal(value)}}
    if kind == "string":
        return {"valueString": value}
    if kind == "boolean":
        return {"valueBoolean": value != "0"}
    if kind == "code":
        return {"valueCoding": {"code": value}}
    coding: dict[str, Any] = {"system": "http://example.org/answers", "code": f"answer-{value}"}
    answer: dict[str, Any] = {"valueCoding": coding}
    if kind in ("ordinal", "weight"):
        url = ORDINAL if kind == "ordinal" else ITEM_WEIGHT
        coding["extension"] = [{"url": url, "valueDecimal": int(value)}]
    elif kind in ("answer-ordinal", "answer-weight"):
        url = ORDINAL if kind == "answer-ordinal" else ITEM_WEIGHT
        answer["extension"] = [{"url": url, "valueDecimal": int(value)}]
    elif kind != "coding":
        raise TableError(f"no such answer: {kind}")
    return answer


def answers(text: str, links: list[str], kind: str) -> list[dict[str, Any]]:
    """The items of ``3,3,_,2``; ``_`` is an item without an answer, ``kind:value`` another kind."""
    values = [] if text == "-" else text.split(",")
    if len(values) > len(links):
        raise TableError(f"{text!r}: more answers than items")
    items: list[dict[str, Any]] = []
    for link, value in zip(links, values, strict=False):
        one, colon, number = value.rpartition(":")
        if value == "_":
            items.append({"linkId": link})
        else:
            items.append({"linkId": link, "answer": [answer_as(one if colon else kind, number)]})
    return items


def response(text: str, number: int) -> Resource:
    """``DATE INSTRUMENT ANSWERS [STATUS]``; ids q1, q2 ...

    ``total=``: the instrument's total item. ``twice=LINK:VALUE``: that item once more.
    ``nest=item|answer``: items below another item, or below its answer. ``as=``: kind of answer.
    ``canonical=``: the whole canonical; ``contained=URL``: ``#q``, a contained Questionnaire of
    that canonical. ``links=``: other linkIds than ours; ``sum=``: that of the
    total. An answer ``code:X`` is a coding without system.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "QuestionnaireResponse"}
    resource["id"] = line.get("id", f"q{number + 1}")
    updated(line, resource)
    when, instrument = line.next(), line.next()
    canonical = line.get("canonical", f"{BASE}/Questionnaire/{instrument}")
    inside = line.get("contained")
    if inside:
        contained = {"resourceType": "Questionnaire", "id": "q", "url": inside, "status": "active"}
        resource["contained"], canonical = [contained], "#q"
    if canonical:
        resource["questionnaire"] = canonical
    statuses = ("in-progress", "completed", "amended", "entered-in-error", "stopped")
    resource["status"] = line.flag(statuses, "completed")
    resource["subject"] = subject(line)
    if when != "-":
        resource["authored"] = moment(when)
    links = (line.get("links") or "").split(",")
    if links == [""]:
        items_of = questionnaire_items()
        links = named(items_of, instrument, "questionnaire", "mappings/instruments (canonicals)")
    items = answers(line.next("-"), links, line.get("as", "integer") or "")
    total, link = line.get("total"), line.get("sum", "total")
    if total:
        items.append({"linkId": link, "answer": [answer_as("integer", total)]})
    for again in line.all("twice"):
        link, _, value = again.partition(":")
        items.append({"linkId": link, "answer": [answer_as("integer", value)]})
    nest = line.get("nest")
    if nest == "item":
        items = [{"linkId": "page", "item": [{"linkId": "part", "item": items}]}]
    elif nest == "answer":
        items = [{"linkId": "gate", "answer": [{"valueBoolean": True, "item": items}]}]
    elif nest:
        raise TableError(f"nest={nest}")
    if items:
        resource["item"] = items
    line.done()
    return resource


# --- procedures ----------------------------------------------------------------------------------


def procedure(text: str, number: int) -> Resource:
    """``DATE [CODE] [STATUS] [outcome=] [site=] [part-of=ID]``; ids x1, x2 ...

    CODE: ``cpt`` (default), ``cryotherapy`` (give ``site=prostate``), ``system|code`` or
    ``text:...``.
    ``a..b``, ``a..``: performedPeriod; ``at=period``: its start, ``at=end``: its end;
    ``at=string``: words. ``text=``: text beside the code. ``part-of=``: the session. ``modality=``:
    mCODE's radiotherapy modality.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "Procedure", "id": line.get("id", f"x{number + 1}")}
    updated(line, resource)
    resource["status"] = line.flag(PROCEDURE_STATUSES, "completed")
    resource["subject"] = subject(line)
    when, at = line.next(), line.get("at", "dateTime")
    resource["code"] = concept(line.next("cpt"))
    if ".." in when:
        resource["performedPeriod"] = period(when)
    elif when != "-" and at == "dateTime":
        resource["performedDateTime"] = moment(when)
    elif when != "-" and at in ("period", "end"):
        resource["performedPeriod"] = {"start" if at == "period" else "end": moment(when)}
    elif when != "-":
        resource["performedString"] = when
    outcome, site, category = line.get("outcome"), line.get("site"), line.get("category")
    beside, session, modality = line.get("text"), line.all("part-of"), line.get("modality")
    if session:
        resource["partOf"] = referred("Procedure", session)
    if modality:
        resource["extension"] = [modality_extension(modality)]
    if beside:
        resource["code"]["text"] = beside
    if category:
        resource["category"] = concept(category)
    if outcome:
        resource["outcome"] = concept(outcome)
    if site:
        resource["bodySite"] = [concept(site)]
    line.done()
    return resource


def modality_extension(code: str) -> Resource:
    """mCODE's extension of a course of radiotherapy with its modality."""
    base = f"{MCODE}/mcode-radiotherapy-modality"
    modality = {"url": base, "valueCodeableConcept": concept(code)}
    return {"url": f"{base}-and-technique", "extension": [modality]}


# --- salvage therapy -----------------------------------------------------------------------------

MEDICATION_STATUSES = {
    "active",
    "on-hold",
    "cancelled",
    "completed",
    "entered-in-error",
    "stopped",
    "draft",
    "unknown",
    "intended",
    "not-taken",
    "in-progress",
    "not-done",
}
_TYPES = {
    "request": ("MedicationRequest", "active"),
    "statement": ("MedicationStatement", "active"),
    "administration": ("MedicationAdministration", "completed"),
}


def therapy(text: str, number: int) -> Resource:
    """``TYPE DATE CODE [STATUS] [intent=] [at=period] [bounds=]``; ids t1, t2 ...

    DATE: ``a..b`` is a period; of a request, the date and its boundsPeriod. ``bounds=a..b``: the
    boundsPeriod of a request, or ``..b``.

    TYPE: ``request``, ``statement``, ``administration``, or ``procedure`` with what that takes.
    CODE: a name or ``system|code``; ``ref:Type/id`` a reference; ``in:NAME`` a contained
    Medication of that code, ``part:NAME`` one with that ingredient.
    """
    kind, _, rest = text.partition(" ")
    if kind == "procedure":
        made = procedure(rest, 0)
        return made | {"id": f"t{number + 1}"} if "id=" not in rest else made
    line = Line(rest)
    type_, usual = named(_TYPES, kind, "kind of therapy", "_TYPES in tests/spec/fhir.py")
    resource: Resource = {"resourceType": type_, "id": line.get("id", f"t{number + 1}")}
    updated(line, resource)
    resource["status"] = line.flag(MEDICATION_STATUSES, usual)
    resource["subject"] = subject(line)
    when, at = line.next(), line.get("at", "dateTime")
    _medicate(resource, line.next())
    if kind == "request":
        resource["intent"] = line.get("intent", "order")
        if line.flag({"not-to-be-given"}, ""):
            resource["doNotPerform"] = True
        start, dots, _ = when.partition("..")
        if start != "-":
            resource["authoredOn"] = moment(start)
        bounds = line.get("bounds", when if dots else None)
        if bounds:
            timing = {"repeat": {"boundsPeriod": period(bounds)}}
            resource["dosageInstruction"] = [{"timing": timing}]
    else:
        dated(resource, when, at)
    line.done()
    return resource


def _medicate(resource: Resource, name: str) -> None:
    """Say what the medication is, in one of FHIR's ways."""
    way, colon, what = name.partition(":")
    if not colon or way not in ("ref", "in", "part"):
        resource["medicationCodeableConcept"] = concept(name)
        return
    if way == "ref":
        resource["medicationReference"] = {"reference": what}
        return
    medication: Resource = {"resourceType": "Medication", "id": "m"}
    if way == "in":
        medication["code"] = concept(what)
    else:
        medication["ingredient"] = [{"itemCodeableConcept": concept(what)}]
    resource["contained"] = [medication]
    resource["medicationReference"] = {"reference": "#m"}


#: What turns the lines under a row's key into resources.
SHORTHANDS: dict[str, Callable[[str, int], Resource]] = {
    "index": procedure,
    "psa": psa,
    "conditions": condition,
    "progression": progression,
    "findings": finding,
    "causes": cause,
    "measures": characteristic,
    "adverse_events": adverse_event,
    "gradings": grading,
    "responses": response,
    "scores": score,
    "procedures": procedure,
    "therapies": therapy,
}
