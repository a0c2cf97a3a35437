"""Lines about Observations: PSA, scores, findings, disease status, causes of death, measures."""

from typing import get_args

from fhircryo.mapping.status_schema import ObservationStatus
from fhircryo.setup.expectations.fhir_values import (
    Resource,
    absent_reason,
    concept,
    concepts,
    dated,
    moment,
    quantity,
    referred,
    shipped_code,
    stated,
    subject,
    updated,
)
from fhircryo.setup.expectations.shorthand_line import Line

OBSERVATION_STATUSES = frozenset(get_args(ObservationStatus))


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
    resource["code"] = concepts(line.get("code", "psa"))
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


# --- clinical events -----------------------------------------------------------------------------


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
    made = finding(f"{when} cause-of-death {rest}", number)
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
