"""Lines about procedures and medication."""

from typing import get_args

from fhircryo.mapping.status_schema import (
    AdministrationStatus,
    ProcedureStatus,
    RequestStatus,
    StatementStatus,
)
from fhircryo.setup.expectations.condition_lines import MCODE
from fhircryo.setup.expectations.fhir_values import (
    Resource,
    concept,
    dated,
    moment,
    period,
    referred,
    subject,
    updated,
)
from fhircryo.setup.expectations.shorthand_line import Line, named

PROCEDURE_STATUSES = frozenset(get_args(ProcedureStatus))


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
    """MCODE's extension of a course of radiotherapy with its modality."""
    base = f"{MCODE}/mcode-radiotherapy-modality"
    modality = {"url": base, "valueCodeableConcept": concept(code)}
    return {"url": f"{base}-and-technique", "extension": [modality]}


#: Those of R4: ``recorded`` is a word of R5, and the lines are of R4.
MEDICATION_STATUSES = frozenset(
    status
    for kind in (RequestStatus, StatementStatus, AdministrationStatus)
    for status in get_args(kind)
) - {"recorded"}
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
    type_, usual = named(_TYPES, kind, "kind of therapy")
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
