"""Who reads the cohort naively gets another table: one test for each thing that may be ignored."""

import re
from copy import deepcopy
from datetime import date

import pytest

from tests.acceptance.paper_table import PAPER, compute, day_zero, each, read_cohort, table, without

PSA = {"2857-1", "35741-8", "83112-3"}
# What a reader who does not look at it takes each status for.
TAKEN_FOR = {
    "Observation": ("status", "final"),
    "Procedure": ("status", "completed"),
    "QuestionnaireResponse": ("status", "completed"),
    "AdverseEvent": ("actuality", "actual"),
}


@pytest.fixture(scope="module")
def cohort():
    return read_cohort()


def is_psa(resource):
    codes = {coding.get("code") for coding in resource.get("code", {}).get("coding", ())}
    return resource["resourceType"] == "Observation" and bool(codes & PSA)


def subject(resource):
    return resource.get("subject", {}).get("reference", "").split("/_history")[0].split("/")[-1]


def changed(cohort, change):
    """A copy of the cohort with every resource changed."""
    copy = deepcopy(cohort)
    for resource in each(copy):
        change(resource)
    return copy


def ignore_status(*kinds):
    def change(resource):
        kind = resource["resourceType"]
        if kind not in kinds:
            return
        if kind in TAKEN_FOR:
            element, value = TAKEN_FOR[kind]
            resource[element] = value
        resource.pop("verificationStatus", None)

    return change


@pytest.mark.parametrize(
    ("kinds", "figures"),
    [
        (("Observation", "Procedure", "QuestionnaireResponse", "Condition", "AdverseEvent"), ()),
        (("Observation",), ("disease_free",)),
        (("Procedure",), ("patients", "technical_success")),
        (("QuestionnaireResponse",), ("erectile_function",)),
        (("Condition",), ("metastases", "disease_free")),
        (("AdverseEvent",), ("major_clavien", "major_sir")),
    ],
    ids=lambda value: "+".join(value) or "any",
)
def test_ignoring_the_status(cohort, kinds, figures):
    naive = table(compute(changed(cohort, ignore_status(*kinds))))
    assert naive != PAPER
    for figure in figures:
        assert getattr(naive, figure) != getattr(PAPER, figure), figure


def ignore_unit(resource):
    if is_psa(resource) and "valueQuantity" in resource:
        resource["valueQuantity"] |= {
            "unit": "ng/mL",
            "system": "http://unitsofmeasure.org",
            "code": "ng/mL",
        }


def ignore_comparator(resource):
    if is_psa(resource):
        resource.get("valueQuantity", {}).pop("comparator", None)
        if "valueString" in resource:
            resource["valueString"] = re.sub(r"^[<>]=?\s*", "", resource["valueString"])


@pytest.mark.parametrize("ignore", [ignore_unit, ignore_comparator])
def test_ignoring_a_part_of_the_value(cohort, ignore):
    naive = table(compute(changed(cohort, ignore)))
    assert naive != PAPER
    assert naive.disease_free != PAPER.disease_free


def moment(resource):
    """What two results or responses of one moment share."""
    when = resource.get("effectiveDateTime") or resource.get("authored")
    return resource["resourceType"], subject(resource), resource.get("questionnaire", ""), when


def first_versions(cohort):
    """The cohort with the first version of each resource alone."""
    first = {}
    for resource in each(cohort):
        key = resource["resourceType"], resource["id"]
        first.setdefault(key, resource)
    return without(cohort, lambda one: first[one["resourceType"], one["id"]] is not one)


def originals(cohort):
    """The cohort without the corrected or amended siblings of what was first reported."""

    def sort(resource):
        kind, who, form, when = moment(resource)
        return kind, who, form.split("|")[0], when

    first = {
        sort(resource)
        for resource in each(cohort)
        if (is_psa(resource) and resource["status"] == "final")
        or (
            resource["resourceType"] == "QuestionnaireResponse"
            and resource["status"] == "completed"
        )
    }
    return without(
        cohort,
        lambda one: one.get("status") in ("corrected", "amended") and sort(one) in first,
    )


@pytest.mark.parametrize("ignore", [originals, first_versions])
def test_ignoring_corrections(cohort, ignore):
    naive = table(compute(ignore(cohort)))
    assert naive != PAPER
    assert naive.disease_free != PAPER.disease_free


def last_response(cohort):
    """Each man's last response to an instrument after treatment, as if given at twelve months."""
    begun = day_zero(compute(cohort))
    copy = deepcopy(cohort)
    last = {}
    for resource in each(copy):
        key = subject(resource), resource.get("questionnaire", "").split("|")[0]
        if (
            resource["resourceType"] == "QuestionnaireResponse"
            and resource["status"] in ("completed", "amended")
            and key[0] in begun
            and date.fromisoformat(resource["authored"][:10]) > begun[key[0]]
        ):
            other = last.get(key)
            if other is None or resource["authored"] > other["authored"]:
                last[key] = resource
                resource, other = other, resource
            if resource is not None:
                resource["status"] = "entered-in-error"
    for (patient, _), resource in last.items():
        day = begun[patient]
        # 28: a day that every month has; the window is wide enough for it.
        resource["authored"] = str(day.replace(year=day.year + 1, day=min(day.day, 28)))
    return copy


def test_taking_the_last_response(cohort):
    naive = table(compute(last_response(cohort)))
    assert naive != PAPER
    assert naive.erectile_function != PAPER.erectile_function


def test_taking_any_psa_for_disease_free(cohort):
    naive = table(compute(cohort, {"disease_free": {"psa_months_before": 12}}))
    assert naive != PAPER
    assert (naive.evaluable, naive.not_evaluable) == (58, 4)


def test_taking_any_complication(cohort):
    naive = table(compute(cohort, {"complications": {"window_days": 36500}}))
    assert naive.major_clavien > PAPER.major_clavien
    assert naive.major_sir > PAPER.major_sir


#: The rules of version 1 that are fields of the protocol, each with what it does to the table.
VERSION_1 = [
    ({"psa": {"first_days": 1}}, {"disease_free": 35}),
    ({"salvage_therapy": "report"}, {"disease_free": 38}),
    ({"disease_free": {"no_response": "ignore"}}, {"disease_free": 37, "not_evaluable": 4}),
    ({"complications": {"window_days": 365}}, {"major_clavien": 3, "major_sir": 2}),
]


@pytest.mark.parametrize(("changed", "figures"), VERSION_1)
def test_the_rules_of_version_1(cohort, changed, figures):
    naive = table(compute(cohort, changed))
    assert {figure: getattr(naive, figure) for figure in figures} == figures


def first_code(resource):
    return resource.get("code", {}).get("coding", [{}])[0].get("code", "")


def ignore_other_cancers(cohort):
    return without(cohort, lambda one: first_code(one).startswith("C18"))


def ignore_therapy_before_treatment(cohort):
    """The cohort without the drugs that were given or ordered before the index procedure."""
    begun = day_zero(compute(cohort))

    def before(resource):
        when = resource.get("authoredOn") or resource.get("effectivePeriod", {}).get("start")
        return resource["resourceType"].startswith("Medication") and (
            date.fromisoformat(when[:10]) < begun[subject(resource)] if when else False
        )

    return without(cohort, before)


def ignore_that_pelvic_nodes_are_regional(resource):
    if first_code(resource) == "C77.5":
        resource["code"]["coding"][0]["code"] = "C77.2"


def ignore_causality(resource):
    for entity in resource.get("suspectEntity", ()):
        entity.pop("causality", None)


def ignore_session(resource):
    if resource["resourceType"] == "Procedure":
        resource.pop("partOf", None)


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        (ignore_that_pelvic_nodes_are_regional, {"metastases": 7}),
        (ignore_causality, {"major_clavien": 3, "major_sir": 2}),
        (ignore_session, {"major_clavien": 1}),
    ],
)
def test_ignoring_what_version_2_looks_at(cohort, change, figures):
    naive = table(compute(changed(cohort, change)))
    assert {figure: getattr(naive, figure) for figure in figures} == figures


@pytest.mark.parametrize(
    ("ignore", "figures"),
    [
        (ignore_other_cancers, {"metastases": 7}),
        (ignore_therapy_before_treatment, {"disease_free": 35}),
    ],
)
def test_ignoring_resources_that_version_2_looks_at(cohort, ignore, figures):
    naive = table(compute(ignore(cohort)))
    assert {figure: getattr(naive, figure) for figure in figures} == figures


def test_reading_it_by_version_1(cohort):
    fields = {key: value for rule, _ in VERSION_1 for key, value in rule.items()}
    naive = table(
        compute(
            changed(ignore_other_cancers(cohort), ignore_that_pelvic_nodes_are_regional), fields
        )
    )
    assert naive.metastases == 8
    assert (naive.disease_free, naive.evaluable) == (38, 58)
    assert (naive.major_clavien, naive.major_sir) == (3, 2)


def test_taking_any_metastasis(cohort):
    assert table(compute(cohort), metastasis_months=1200).metastases > PAPER.metastases


def test_reading_it_as_it_is_meant(cohort):
    assert table(compute(cohort)) == PAPER
