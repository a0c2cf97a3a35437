"""Lines about complications and their grades."""

from fhircryo.setup.expectations.fhir_values import (
    Resource,
    concept,
    dated,
    moment,
    names,
    referred,
    stated,
    subject,
)
from fhircryo.setup.expectations.observation_lines import OBSERVATION_STATUSES, put_components
from fhircryo.setup.expectations.shorthand_line import Line, ShorthandError, named

AE_GRADE = "http://hl7.org/fhir/uv/ae-research-ig/StructureDefinition/ae-grade"


def grade_coding(scale: str, grade: str) -> dict[str, str]:
    """The coding of a grade; scale ``sct``: Clavien-Dindo in SNOMED CT."""
    system = named(names("scales"), scale, "scale of grades")
    if scale == "sct":
        grade = named(names("clavien-snomed"), grade, "grade in SNOMED CT")
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
    for scale in names("scales"):
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
        raise ShorthandError(f"no place for a grade: {place}")


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
