"""SQL-on-FHIR ViewDefinitions: the published endpoints, PSA results and adverse events as tables.

A ViewDefinition is run by another program on the FHIR data themselves. Source:
https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html (version 2). Its expressions use
the part of FHIRPath alone that every such program has to know (ShareableViewDefinition), without
units and a site overlay: the unit of a value stands beside it, and the codes of PSA and of grades
are those that the mappings have when the view is made.
"""

from typing import Any

from fhircryo.endpoints.result import ComponentKey
from fhircryo.mapping.grade_schema import Scale
from fhircryo.mapping.load import Mappings
from fhircryo.publish.observation_maker import DATA_ABSENT, YES_NO
from fhircryo.setup.terminology.canonical import Resource, canonical, url
from fhircryo.setup.terminology.descriptions import load_terminology_words, with_notices

#: A column: its name, its path, and what it holds.
_Column = tuple[str, str, str]
_SNOMED = "http://snomed.info/sct"
#: Where a grade can stand in an AdverseEvent of FHIR R4, its extension aside.
_GRADE_PLACES = ("severity", "event", "category", "seriousness")


def view_definitions(mappings: Mappings) -> list[Resource]:
    """Return all views, with the notices that the owners of the codes in them require."""
    words = load_terminology_words()
    systems = {
        "psa": {system for system, _ in _psa_codes(mappings)},
        "adverse-events": {_SNOMED},
        "adverse-event-grades": {
            code.system for scale in mappings.scales.values() for code in scale.codes
        },
    }
    made = [_endpoints(mappings), _psa(mappings), _adverse_events(mappings), _grades(mappings)]
    return [with_notices(view, words, sorted(systems.get(view["id"], ()))) for view in made]


def _view(
    key: str, resource: str, title: str, mappings: Mappings, columns: list[_Column], where: str
) -> Resource:
    """A view with a row for each resource of a type that meets a condition.

    The patient is selected apart: some runners fail for a key of a reference that is not there.
    """
    made = canonical("ViewDefinition", key, mappings.base, title, title)
    patient = ("patient", "getReferenceKey(Patient)", "The patient, by a literal reference")
    referred = {"forEachOrNull": "subject.where(reference.exists())", **_select([patient])}
    return {
        **made,
        # The name of the table that a runner makes: letters, digits and underscores.
        "name": f"fhircryo_{key.replace('-', '_')}",
        "resource": resource,
        "fhirVersion": ["4.0.1"],
        "select": [_select([_ID]), referred, _select(columns)],
        "where": [{"path": where}],
    }


def _select(columns: list[_Column]) -> dict[str, Any]:
    found = [{"name": name, "path": path, "description": words} for name, path, words in columns]
    return {"column": found}


_ID: _Column = ("id", "getResourceKey()", "The resource")
_LOGICAL: _Column = (
    "patient_identifier",
    "subject.identifier.value",
    "The patient, by a logical reference",
)


def _endpoints(mappings: Mappings) -> Resource:
    """The published endpoints, a row for each; the names are those of the cohort's table."""
    base = mappings.base
    coded = "value.ofType(CodeableConcept).coding"
    own = " or ".join(f"system = '{scale.system}'" for scale in mappings.scales.values())
    reason = url("CodeSystem", "reason", base)
    columns = [
        _LOGICAL,
        ("endpoint", _own_code("endpoint", base), "The code of the endpoint"),
        ("time_point", _component(ComponentKey.TIME_POINT, base), "Of a questionnaire's score"),
        ("status", "status", "preliminary, final, amended or entered-in-error"),
        ("answer", f"{coded}.where(system = '{YES_NO}').code.first()", "Y or N"),
        ("grade", f"{coded}.where({own}).code.first()", "A grade, of the scale's own codes"),
        ("count", "value.ofType(integer)", "A number of adverse events"),
        ("number", "value.ofType(Quantity).value", "A quantity"),
        ("comparator", "value.ofType(Quantity).comparator", "Where the quantity is only a limit"),
        ("unit", "value.ofType(Quantity).code", "UCUM unit of the quantity"),
        ("low", "value.ofType(Range).low.value", "Days: lower bound of a time"),
        ("high", "value.ofType(Range).high.value", "Days: upper bound of a time"),
        ("event", _component(ComponentKey.EVENT, base), "Of a time: Y, or N if it is censored"),
        (
            "absent",
            f"dataAbsentReason.coding.where(system = '{DATA_ABSENT}').code.first()",
            "What kind of absence, where there is no value",
        ),
        (
            "reason",
            f"dataAbsentReason.coding.where(system = '{reason}').code.first()",
            "Why there is no value",
        ),
        ("date", "effective.ofType(dateTime)", "The day that the endpoint is dated by"),
        ("date_first", "effective.ofType(Period).start", "First day of a period"),
        ("date_last", "effective.ofType(Period).end", "Last day of it"),
        ("index_procedure", "partOf.reference.first()", "The index procedure"),
        ("protocol", "method.text", "The protocol and its version"),
    ]
    where = f"identifier.where(system = '{base}/endpoint').exists()"
    return _view("endpoints", "Observation", "Published endpoints", mappings, columns, where)


def _own_code(system: str, base: str) -> str:
    return f"code.coding.where(system = '{url('CodeSystem', system, base)}').code.first()"


def _component(key: ComponentKey, base: str) -> str:
    """The code of the value of a component."""
    system = url("CodeSystem", "component", base)
    of = f"code.coding.where(system = '{system}' and code = '{key}').exists()"
    return f"component.where({of}).value.ofType(CodeableConcept).coding.code.first()"


def _psa(mappings: Mappings) -> Resource:
    """PSA results of a used status, with the value and the unit as they are recorded."""
    columns = [
        _LOGICAL,
        ("code", "code.coding.code.first()", "The first code of the result"),
        ("value", "value.ofType(Quantity).value", "The value"),
        ("comparator", "value.ofType(Quantity).comparator", "Where the value is only a limit"),
        ("unit_code", "value.ofType(Quantity).code", "The code of the unit, mostly UCUM"),
        ("unit", "value.ofType(Quantity).unit", "The unit as text"),
        ("text", "value.ofType(string)", "A result that was sent as text"),
        ("date", "effective.ofType(dateTime)", "When the sample was taken"),
        ("instant", "effective.ofType(instant)", "The same, where it is an instant"),
        ("date_first", "effective.ofType(Period).start", "The same, where it is a period"),
        ("status", "status", "The status"),
    ]
    psa = [
        f"code.coding.where(system = {_literal(system)} and code = {_literal(code)}).exists()"
        for system, code in _psa_codes(mappings)
    ]
    used = [f"status = '{status}'" for status in sorted(mappings.statuses.observation)]
    where = f"({' or '.join(psa)}) and ({' or '.join(used)})"
    return _view("psa", "Observation", "PSA results", mappings, columns, where)


def _psa_codes(mappings: Mappings) -> list[tuple[str, str]]:
    """The system and code of every code that means PSA and can be compared as a whole."""
    codes = [code for code, _ in mappings.merged.concepts["psa"].codes]
    return [(code.system, code.code) for code in codes if not code.descendants]


def _literal(text: str) -> str:
    """A text as a FHIRPath literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _adverse_events(mappings: Mappings) -> Resource:
    """Adverse events as recorded; their grades are a view of their own."""
    columns = [
        _LOGICAL,
        ("date", "date", "When it happened"),
        ("detected", "detected", "When it was detected"),
        ("actuality", "actuality", "actual or potential"),
        ("event", f"event.coding.where(system = '{_SNOMED}').code.first()", "SNOMED CT code"),
        ("event_text", "event.text", "The event as text"),
        ("suspect", "suspectEntity.instance.reference.first()", "The first suspected cause"),
    ]
    title = "Adverse events"
    return _view("adverse-events", "AdverseEvent", title, mappings, columns, "subject.exists()")


def _grades(mappings: Mappings) -> Resource:
    """The grades of adverse events: a row for each coding that is a grade of a scale."""
    title = "Grades of adverse events"
    view = _view("adverse-event-grades", "AdverseEvent", title, mappings, [_LOGICAL], "id.exists()")
    extensions = [
        f"extension({_literal(one)}).value.ofType(CodeableConcept)"
        for one in sorted(mappings.extensions)
    ]
    codings = [
        {"forEach": f"{place}.coding.where({_graded(scale)})", **_select(_coding(key))}
        for key, scale in sorted(mappings.scales.items())
        for place in (*extensions, *_GRADE_PLACES)
    ]
    return {**view, "select": [*view["select"], {"unionAll": codings}]}


def _coding(scale: str) -> list[_Column]:
    return [
        ("scale", _literal(scale), "The scale"),
        ("system", "system", "The system of the code"),
        ("code", "code", "The code of the grade"),
    ]


def _graded(scale: Scale) -> str:
    """Whether a coding is a grade of a scale: of its own codes, or one of those that mean one."""
    others = [
        f"(system = {_literal(code.system)} and code = {_literal(code.code)})"
        for code in scale.codes
    ]
    return " or ".join([f"system = {_literal(scale.system)}", *others])
