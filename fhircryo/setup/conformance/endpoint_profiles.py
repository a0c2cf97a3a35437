"""The profiles of published endpoints: one that all have in common, and one for each value type.

They follow from the catalogue, its types of value, the components and the mappings, as published
endpoints do.
"""

from collections.abc import Iterator

from fhircryo.endpoints.catalogue import CATALOGUE, Endpoint
from fhircryo.endpoints.result import PART_FORMS, PART_UNITS, ComponentKey, PartForm
from fhircryo.endpoints.value_types import Detail, ValueForm, ValueType
from fhircryo.mapping.load import Mappings
from fhircryo.publish.observation_maker import (
    CATEGORY,
    CATEGORY_CODE,
    DATA_ABSENT,
    DERIVED_FROM,
    UCUM,
)
from fhircryo.publish.profiles import ENDPOINT, profile_key
from fhircryo.setup.conformance.elements import (
    BY_TYPE,
    BY_VALUE,
    bound,
    coded,
    constraint,
    element,
    references,
    sliced,
    types,
)
from fhircryo.setup.conformance.profile import Profile
from fhircryo.setup.terminology.canonical import Resource, url
from fhircryo.setup.terminology.descriptions import load_terminology_words

_KIND = "Observation"
#: The data types of the values of each form; a quantity may be known only as a range.
_VALUE_TYPES = {
    ValueForm.YES_NO: "CodeableConcept",
    ValueForm.GRADE: "CodeableConcept",
    ValueForm.COUNT: "integer",
    ValueForm.QUANTITY: "Quantity",
}
_PART_TYPES = {
    PartForm.YES_NO: ("CodeableConcept",),
    PartForm.TIME_POINT: ("CodeableConcept",),
    PartForm.COUNT: ("integer",),
    PartForm.DAY: ("dateTime", "Period"),
    PartForm.QUANTITY: ("Quantity",),
}


def value_types() -> list[ValueType]:
    """The types of value that endpoints of the catalogue have, each once, in their order."""
    return list(dict.fromkeys(endpoint.value_type for endpoint in CATALOGUE))


def endpoint_profiles(mappings: Mappings) -> list[Profile]:
    """The profiles of endpoints; the one that all have in common comes first."""
    common = Profile(
        ENDPOINT,
        _KIND,
        "Endpoint",
        "What all published endpoints have in common, whatever the type of their value",
        list(_common(mappings)),
        abstract=True,
    )
    return [common, *(_of_type(one, common, mappings) for one in value_types())]


# --- what all endpoints have in common


def _common(mappings: Mappings) -> Iterator[Resource]:
    base = mappings.base
    tag = f"meta.tag.where(system = '{base}/CodeSystem/tag' and code = 'research-use').exists()"
    yield element(
        _KIND,
        "A treatment endpoint computed from a record",
        constraint=[
            constraint(
                "value",
                "It has either a value or a reason why there is none",
                "value.exists() xor dataAbsentReason.exists()",
            ),
            constraint("tag", "It is tagged as being for research use", tag),
        ],
    )
    yield element(
        f"{_KIND}.identifier",
        "The same in every run, on every machine and on every target",
        min=1,
        max="1",
        patternIdentifier={"system": f"{base}/endpoint"},
        constraint=[
            constraint(
                "identifier",
                "The value is e and 32 hexadecimal digits",
                "value.matches('^e[0-9a-f]{32}$')",
            )
        ],
    )
    yield element(
        f"{_KIND}.partOf", "The index procedure", min=1, max="1", type=references("Procedure")
    )
    yield element(
        f"{_KIND}.status",
        "Preliminary while later data can change it; retracted ones are entered in error",
        binding=bound(url("ValueSet", "endpoint-status", base)),
    )
    yield from _categories(base)
    yield element(f"{_KIND}.code", "Which endpoint it is", binding=_codes("endpoint", base))
    yield element(f"{_KIND}.subject", "The patient", min=1, type=references("Patient"))
    yield element(
        f"{_KIND}.effective[x]",
        "The day of the value, or the time that it is about",
        min=1,
        type=types("dateTime", "Period"),
    )
    yield element(f"{_KIND}.issued", "Nothing depends on the time of the run", max="0")
    yield from _absence(base)
    yield element(f"{_KIND}.method", "The protocol and its version, as text", min=1)
    yield element(f"{_KIND}.device", "The software that computed it", type=references("Device"))
    yield element(
        f"{_KIND}.derivedFrom",
        "The evidence; the Provenance names that of other types",
        type=references(*DERIVED_FROM),
    )
    yield from _components(mappings)


def _categories(base: str) -> Iterator[Resource]:
    name = f"{_KIND}.category"
    yield element(
        name,
        "Computed; scores of questionnaires are surveys too",
        min=1,
        slicing=sliced(BY_VALUE, "$this"),
    )
    yield element(
        f"{name}:derived",
        "It is computed from other resources",
        min=1,
        max="1",
        patternCodeableConcept=coded(f"{base}/CodeSystem/category", CATEGORY_CODE),
    )
    yield element(
        f"{name}:survey",
        "It is a score of a questionnaire",
        max="1",
        patternCodeableConcept=coded(CATEGORY, "survey"),
    )


def _absence(base: str) -> Iterator[Resource]:
    system = f"{base}/CodeSystem/reason"
    yield element(
        f"{_KIND}.dataAbsentReason",
        "Why there is no value: FHIR's code, and ours beside it",
        binding=bound(url("ValueSet", "endpoint-absent", base)),
        constraint=[
            constraint(
                "absent",
                "It has a code of FHIR, for those who do not know ours",
                f"coding.where(system = '{DATA_ABSENT}').exists()",
            ),
            constraint(
                "reason",
                "It has one of the reasons of fhircryo",
                f"coding.where(system = '{system}'"
                f" and memberOf('{url('ValueSet', 'reason', base)}')).exists()",
            ),
        ],
    )


def _components(mappings: Mappings) -> Iterator[Resource]:
    base = mappings.base
    name = f"{_KIND}.component"
    yield element(name, "What the value rests on", slicing=sliced(BY_VALUE, "code"))
    yield element(f"{name}.code", "Which part it is", binding=_codes("component", base))
    words = load_terminology_words().components
    for part in ComponentKey:
        yield element(f"{name}:{part}", words[part], max="1")
        yield from _component(part, PART_FORMS[part], PART_UNITS.get(part, ""), base)
    marks = {one.key: one.words for form in mappings.instruments for one in form.marks}
    for mark, meaning in marks.items():
        yield element(f"{name}:{mark}", meaning, max="1")
        yield from _component(mark, PartForm.YES_NO, "", base)


def _component(part: str, form: PartForm, unit: str, base: str) -> Iterator[Resource]:
    name = f"{_KIND}.component:{part}"
    system = f"{base}/CodeSystem/component"
    yield element(f"{name}.code", f"Always {part}", patternCodeableConcept=coded(system, str(part)))
    value = element(f"{name}.value[x]", _PART_WORDS[form], min=1, type=types(*_PART_TYPES[form]))
    if form is PartForm.YES_NO:
        value["binding"] = _codes("yes-no", base)
    elif form is PartForm.TIME_POINT:
        value["binding"] = _codes("time-point", base)
    elif form is PartForm.QUANTITY:
        value["short"] = f"A number of {unit}"
        value["patternQuantity"] = _quantity(unit)
    yield value


_PART_WORDS = {
    PartForm.YES_NO: "Yes or no",
    PartForm.TIME_POINT: "A time point of the protocol",
    PartForm.COUNT: "A number",
    PartForm.DAY: "A day, or a period of possible days",
    PartForm.QUANTITY: "A quantity",
}


# --- what the endpoints of a type of value have in common


def _of_type(value_type: ValueType, common: Profile, mappings: Mappings) -> Profile:
    endpoints = [one for one in CATALOGUE if one.value_type is value_type]
    codes = ", ".join(f"{one.key}-*" if one.per_instrument else one.key for one in endpoints)
    return Profile(
        profile_key(value_type),
        _KIND,
        f"Endpoint: {value_type.words}",
        f"Endpoints whose value is of the type: {value_type.words}. They are: {codes}",
        list(_typed(value_type, endpoints, mappings)),
        parent=common,
    )


def _typed(
    value_type: ValueType, endpoints: list[Endpoint], mappings: Mappings
) -> Iterator[Resource]:
    base = mappings.base
    rules = list(_rules(value_type, endpoints, mappings))
    root = element(_KIND, f"An endpoint whose value is of the type: {value_type.words}")
    yield {**root, "constraint": rules} if rules else root
    surveys = all(one.per_instrument for one in endpoints)
    if surveys:
        yield element(f"{_KIND}.category:survey", "It is a score of a questionnaire", min=1)
    yield element(
        f"{_KIND}.code", "Which endpoint it is", binding=_codes(profile_key(value_type), base)
    )
    yield from _value(value_type, base)
    if surveys:
        yield element(f"{_KIND}.component:{ComponentKey.TIME_POINT}", "When it was answered", min=1)


def _value(value_type: ValueType, base: str) -> Iterator[Resource]:
    name = f"{_KIND}.value[x]"
    kind = _VALUE_TYPES[value_type.form]
    if value_type.form is not ValueForm.QUANTITY:
        found = element(name, f"The value: {value_type.words}", type=types(kind))
        if value_type.form is ValueForm.YES_NO:
            found["binding"] = _codes("yes-no", base)
        elif value_type.form is ValueForm.GRADE:
            found["binding"] = _codes("endpoint-grade-value", base)
        yield found
    elif Detail.HIGH not in value_type.details:
        words = f"The value in {value_type.unit}"
        yield element(name, words, type=types(kind), patternQuantity=_quantity(value_type.unit))
    else:
        words = f"The value in {value_type.unit}; a range where it is known only as an interval"
        yield element(name, words, type=types(kind, "Range"), slicing=sliced(BY_TYPE, "$this"))
        yield element(
            f"{name}:valueQuantity",
            f"The value in {value_type.unit}",
            type=types("Quantity"),
            patternQuantity=_quantity(value_type.unit),
        )
        yield element(
            f"{name}:valueRange",
            f"The interval in {value_type.unit}",
            type=types("Range"),
            constraint=[_bounds(value_type.unit)],
        )


def _bounds(unit: str) -> Resource:
    """Both bounds of an interval in a unit; a pattern for both would be no valid Range."""
    is_bound = f"where(value.exists() and system = '{UCUM}' and code = '{unit}').exists()"
    return constraint(
        "bounds",
        f"Both bounds are numbers of {unit}",
        f"low.{is_bound} and high.{is_bound}",
    )


def _rules(
    value_type: ValueType, endpoints: list[Endpoint], mappings: Mappings
) -> Iterator[Resource]:
    if value_type.form is ValueForm.QUANTITY:
        yield _comparators(value_type)
    if value_type.whole:
        yield constraint(
            "whole",
            "Its numbers are whole",
            "(value.ofType(Quantity).value | value.ofType(Range).low.value"
            " | value.ofType(Range).high.value).all($this mod 1 = 0)",
        )
    if value_type.form is ValueForm.COUNT:
        yield constraint(
            "count", "A count is not negative", "value.ofType(integer).all($this >= 0)"
        )
    if Detail.EVENT in value_type.details:
        event = _has_coding("code", f"{mappings.base}/CodeSystem/component", ComponentKey.EVENT)
        yield constraint(
            "event",
            "A time says whether it ends with the event or is censored",
            f"value.exists() implies component.where({event}).exists()",
        )
    if value_type.form is ValueForm.GRADE:
        yield from _scales(endpoints, mappings)


def _comparators(value_type: ValueType) -> Resource:
    if Detail.COMPARATOR in value_type.details:
        return constraint(
            "comparator",
            "Where the value is only a limit, it is an upper one",
            "value.ofType(Quantity).comparator.all($this = '<' or $this = '<=')",
        )
    return constraint(
        "comparator", "The value is not a limit", "value.ofType(Quantity).comparator.empty()"
    )


def _scales(endpoints: list[Endpoint], mappings: Mappings) -> Iterator[Resource]:
    for endpoint in endpoints:
        code = _has_coding("code", f"{mappings.base}/CodeSystem/endpoint", endpoint.key)
        system = mappings.scales[endpoint.scale].system
        yield constraint(
            f"scale-{endpoint.scale}",
            f"The value of {endpoint.key} is a grade of {endpoint.scale}",
            f"({code} and value.exists()) implies value.coding.where(system = '{system}').exists()",
        )


def _has_coding(element_name: str, system: str, code: str) -> str:
    return f"{element_name}.coding.where(system = '{system}' and code = '{code}').exists()"


def _codes(key: str, base: str) -> Resource:
    return bound(url("ValueSet", key, base))


def _quantity(unit: str) -> Resource:
    return {"system": UCUM, "code": unit}
