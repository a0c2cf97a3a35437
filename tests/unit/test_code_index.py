"""What a code means: prefixes, editions of ICD-10, kinds, values, and codes that contradict."""

from functools import cache
from pathlib import Path

import pytest

from fhircryo.errors import UsageError
from fhircryo.mapping.concepts import CONCEPTS, FINDINGS, KINDS_OF
from fhircryo.mapping.load import Mappings, load_mappings

WHO = "http://hl7.org/fhir/sid/icd-10"
ICD = (
    WHO,
    "http://hl7.org/fhir/sid/icd-10-cm",
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
    "http://fhir.de/CodeSystem/dimdi/icd-10-gm",
    "urn:oid:2.16.840.1.113883.6.3",
    "urn:oid:2.16.840.1.113883.6.90",
)
SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
LOCAL = "https://h.example/local"


#: The shipped mappings alone.
_shipped = cache(load_mappings)


def _loaded(tmp_path: Path, *texts: str) -> Mappings:
    paths = []
    for number, text in enumerate(texts, 1):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return load_mappings(paths)


def _overlay(concept: str, *codes: str, withdraw: str = "") -> str:
    text = f"concepts:\n  {concept}:\n"
    if withdraw:
        text += f"    withdraw: [{withdraw}]\n"
    if codes:
        text += "    codes:\n" + "".join(f"      - {code}\n" for code in codes)
    return text


def _local(more: str = "", code: str = "A") -> str:
    return f'{{system: "{LOCAL}", code: "{code}", verified: x{more}}}'


def _icd(code: str, more: str = "") -> str:
    return f'{{system: "{WHO}", code: {code}{more}}}'


def _concepts(mappings: Mappings, system: str, code: str, element: str = "code") -> set[str]:
    return {
        entry.concept
        for entry in mappings.meanings(system, code)
        if element in CONCEPTS[entry.concept].elements
    }


# ------------------------------------------------------------------ ICD-10


@pytest.mark.parametrize("system", ICD)
@pytest.mark.parametrize(
    ("code", "concept"),
    [
        ("C77.5", "nodal-recurrence"),
        ("c775", "nodal-recurrence"),
        ("C77.51", "nodal-recurrence"),
        ("C77", "metastasis"),
        ("C77.2", "metastasis"),
        ("C77.8", "metastasis-unclear-site"),
        ("C779", "metastasis-unclear-site"),
        ("C79.11", "metastasis-unclear-site"),
        ("C79.82", "metastasis-unclear-site"),
        ("C79.8", "metastasis"),
        ("C7951", "metastasis"),
        ("C61", "prostate-cancer"),
        ("C00", "other-malignancy"),
        ("C43.9", "other-malignancy"),
        ("C60", "other-malignancy"),
        ("C67.9", "other-malignancy"),
        ("C96.9", "other-malignancy"),
        ("C44.1", None),
        ("C76.0", None),
        ("C80.9", None),
        ("C97", None),
        ("D07.5", None),
    ],
)
def test_an_icd_code_means_the_same_in_every_edition_and_spelling(system, code, concept):
    found = _concepts(_shipped(), system, code)
    assert found == ({concept} if concept else set())


@pytest.mark.parametrize("code", ["C77.5", "C78.7", "C80.9", "R99", "R960"])
def test_a_code_of_a_secondary_site_is_no_cause_of_death(code):
    found = _concepts(_shipped(), WHO, code, "value")
    assert found == {"cause-of-death-unspecified"}


def test_a_cause_of_death_is_looked_up_among_the_codes_of_the_cancer():
    mappings = _shipped()
    assert _concepts(mappings, WHO, "C61", "value") == {"prostate-cancer"}
    assert _concepts(mappings, WHO, "I21.9", "value") == set()


def test_codes_of_other_systems_are_compared_as_written():
    mappings = _shipped()
    assert mappings.normal_code(WHO, "c77.5") == "C775"
    assert mappings.normal_code(SCT, "c77.5") == "c77.5"
    assert mappings.normal_code(None, "c77.5") == "c77.5"
    assert mappings.meanings(LOCAL, "C61") == ()
    assert mappings.meanings(None, None) == ()


def test_a_code_found_by_its_prefix_is_counted_by_its_own_name():
    (entry,) = [e for e in _shipped().meanings(WHO, "C79.51") if e.concept == "metastasis"]
    assert entry.label == f"{WHO}|C79.51"


# ------------------------------------------------------------------ overlays and prefixes


def test_a_withdrawn_code_does_not_fall_back_to_a_shorter_prefix(tmp_path):
    mappings = _loaded(tmp_path, _overlay("nodal-recurrence", withdraw=_icd("C77.5")))
    for code in ("C77.5", "C77.51"):
        assert _concepts(mappings, WHO, code) == set()
        assert _concepts(mappings, WHO, code, "value") == {"cause-of-death-unspecified"}
    assert _concepts(mappings, WHO, "C77.4") == {"metastasis"}
    assert _concepts(mappings, ICD[1], "C77.5") == {"nodal-recurrence"}


def test_a_withdrawn_code_may_mean_something_else(tmp_path):
    text = _overlay("nodal-recurrence", withdraw=_icd("C775"))
    text += _overlay("metastasis", _icd("C77.5", ", verified: x")).removeprefix("concepts:\n")
    assert _concepts(_loaded(tmp_path, text), WHO, "C77.5") == {"metastasis"}


def test_a_group_of_systems_is_withdrawn_at_once(tmp_path):
    text = _overlay("nodal-recurrence", withdraw="{system: icd-10, code: C77.5}")
    mappings = _loaded(tmp_path, text)
    assert all(_concepts(mappings, system, "C77.5") == set() for system in ICD)


def test_a_code_below_two_prefixes_is_withdrawn_from_the_longer(tmp_path):
    own = _overlay("local-recurrence", _icd("C77.51", ", verified: x"))
    with pytest.raises(UsageError, match=r"nodal-recurrence: withdraw it there first"):
        _loaded(tmp_path, own)
    wrong = _overlay("metastasis", withdraw=_icd("C77.51"))
    with pytest.raises(UsageError, match=r"nodal-recurrence: withdraw it there first"):
        _loaded(tmp_path, wrong, own)
    right = _overlay("nodal-recurrence", withdraw=_icd("C77.51"))
    assert _concepts(_loaded(tmp_path, right, own), WHO, "C77.51") == {"local-recurrence"}


def test_prefixes_of_one_layer_nest(tmp_path):
    text = _overlay("metastasis", _local(", descendants: prefix", "M"))
    text += _overlay("nodal-recurrence", _local(", descendants: prefix", "M1")).removeprefix(
        "concepts:\n"
    )
    mappings = _loaded(tmp_path, text)
    assert _concepts(mappings, LOCAL, "M2") == {"metastasis"}
    assert _concepts(mappings, LOCAL, "M12") == {"nodal-recurrence"}


def test_the_cancer_s_code_is_a_recurrence_by_its_clinical_status(tmp_path):
    own = ", status: [recurrence], verified: x"
    for code in ("C61", "C61.9"):
        mappings = _loaded(tmp_path, _overlay("local-recurrence", _icd(code, own)))
        assert _concepts(mappings, WHO, code) == {"prostate-cancer", "local-recurrence"}
    with pytest.raises(UsageError, match="prostate-cancer"):
        _loaded(tmp_path, _overlay("local-recurrence", _icd("C61", ", verified: x")))


def test_a_list_of_codes_and_a_range(tmp_path):
    listed = _local(", more: {B: beta, C: gamma}")
    ranged = f'{{system: "{LOCAL}", code: D10, to: D12, descendants: prefix, verified: x}}'
    mappings = _loaded(tmp_path, _overlay("other-malignancy", listed, ranged))
    for code in ("A", "B", "C", "D10", "D11.2", "D129"):
        assert _concepts(mappings, LOCAL, code) == {"other-malignancy"}
    for code in ("D", "D09", "D13", "B1"):
        assert _concepts(mappings, LOCAL, code) == set()


# ------------------------------------------------------------------ mistakes

WRONG = {
    "a kind of radiotherapy": (
        "salvage-therapy",
        _local(", kind: brachytherapy"),
        "codes.0.kind: 'brachytherapy' is not a kind of salvage-therapy",
    ),
    "a misspelt kind": ("salvage-therapy", _local(", kind: hormon"), "did you mean hormone?"),
    "a kind of nothing": ("psa", _local(", kind: hormone"), "codes.0.kind: psa has no kinds"),
    "a finding without a value": ("metastasis-finding", _local(), "or any_value: true"),
    "a value and any value": (
        "metastasis-finding",
        _local(", any_value: true, value: [{text: yes it is}]"),
        "exclude each other",
    ),
    "any value: false": (
        "metastasis-finding",
        _local(", any_value: false"),
        "codes.0.any_value",
    ),
    "a value of a diagnosis": (
        "metastasis",
        _local(", value: [{text: positive}]"),
        "codes.0.value: this applies only to",
    ),
    "any value of a score": ("gleason-score", _local(", any_value: true"), "codes.0.any_value"),
    "a primary of a recurrence": (
        "local-recurrence",
        _local(", names_prostate: true"),
        "codes.0.names_prostate",
    ),
    "a code beside a metastasis": (
        "metastasis",
        _local(', beside: [{system: "http://loinc.org", code: "1"}]'),
        "codes.0.beside",
    ),
    "a range without descendants": (
        "other-malignancy",
        _local(", to: A12", "A10"),
        "to needs descendants: prefix",
    ),
    "a range backwards": (
        "other-malignancy",
        _local(", to: A09, descendants: prefix", "A10"),
        "such as C00 to C43",
    ),
    "a range of two letters": (
        "other-malignancy",
        _local(", to: B12, descendants: prefix", "A10"),
        "such as C00 to C43",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_in_an_entry_is_named(case, tmp_path):
    concept, code, named = WRONG[case]
    with pytest.raises(UsageError) as caught:
        _loaded(tmp_path, _overlay(concept, code))
    assert str(caught.value).startswith(f"{tmp_path / '1.yaml'}:4: ")
    assert named in str(caught.value)


@pytest.mark.slow
def test_two_findings_of_one_code_are_told_apart_by_their_values(tmp_path):
    one = _overlay("metastasis-finding", _local(", value: [{text: bone}]"))
    other = _overlay("local-recurrence-finding", _local(", value: [{text: prostate}]"))
    assert len(_loaded(tmp_path, one, other).meanings(LOCAL, "A")) == 2
    for same in (", value: [{text: Bone}, {text: x}]", ", any_value: true"):
        with pytest.raises(UsageError, match="already defined"):
            _loaded(tmp_path, one, _overlay("progression-finding", _local(same)))


# ------------------------------------------------------------------ codes that contradict PSA

PSA = (LOCAL, "A")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codings", "contradicts"),
    [
        ([PSA], ""),
        ([PSA, (LOINC, "2857-1")], ""),
        ([PSA, (LOINC, "10886-0")], f"{LOINC}|10886-0"),
        ([PSA, (LOINC, "9999-9")], f"{LOINC}|9999-9"),
        ([PSA, ("urn:oid:2.16.840.1.113883.6.1", "1")], "urn:oid:2.16.840.1.113883.6.1|1"),
        ([(LOINC, "2857-1"), (LOINC, "53764-7")], f"{LOINC}|53764-7"),
        ([PSA, (SCT, "63476009")], ""),
        ([PSA, (LOINC, None)], ""),
    ],
)
def test_a_loinc_that_is_not_of_psa_contradicts_it(codings, contradicts, tmp_path):
    mappings = _loaded(tmp_path, _overlay("psa", _local()))
    assert mappings.contradicting("psa", codings) == contradicts


def test_a_site_says_which_loinc_may_stand_beside_its_code(tmp_path):
    own = _local(f', beside: [{{system: "{LOINC}", code: "10886-0"}}]')
    mappings = _loaded(tmp_path, _overlay("psa", own))
    assert mappings.contradicting("psa", [PSA, (LOINC, "10886-0")]) == ""
    assert mappings.contradicting("psa", [PSA, (LOINC, "12841-3")]) == f"{LOINC}|12841-3"
    assert mappings.contradicting("psa", [(LOINC, "10886-0"), (LOINC, "2857-1")]) != ""


# ------------------------------------------------------------------ the shipped codes


def test_every_shipped_code_of_a_therapy_has_a_kind_and_every_finding_its_values():
    for (system, code), entries in _shipped().codes.items():
        for entry in entries:
            kinds = KINDS_OF.get(entry.concept)
            assert (entry.kind in kinds) if kinds else not entry.kind, (system, code)
            if entry.values is not None:
                assert entry.concept in FINDINGS | {"isup-grade-group"}


@pytest.mark.parametrize(
    ("system", "code", "concept", "kind"),
    [
        ("http://www.whocc.no/atc", "L02AE02", "salvage-therapy", "hormone"),
        ("http://fhir.de/CodeSystem/bfarm/atc", "L02BX03", "salvage-therapy", "hormone"),
        ("http://www.whocc.no/atc", "L01CD02", "salvage-therapy", "systemic"),
        ("http://www.ama-assn.org/go/cpt", "55866", "salvage-therapy", "local"),
        ("http://www.ama-assn.org/go/cpt", "55880", "salvage-therapy", "local"),
        ("http://www.ama-assn.org/go/cpt", "55875", "prostate-radiotherapy", "brachytherapy"),
        (SCT, "1156506007", "prostate-radiotherapy", "external-beam"),
        (SCT, "1217123003", "prostate-radiotherapy", "unspecified"),
    ],
)
def test_shipped_therapies(system, code, concept, kind):
    (entry,) = _shipped().meanings(system, code)
    assert (entry.concept, entry.kind) == (concept, kind)


@pytest.mark.parametrize(
    ("code", "value", "concept"),
    [
        ("277062004", "primaertumor|R", "local-recurrence-finding"),
        ("277062004", "primaertumor|P", "progression-finding"),
        ("399656008", "lymphknoten|R", "nodal-recurrence-finding"),
        ("399656008", "lymphknoten|P", "progression-finding"),
        ("399608002", "fernmetastasen|R", "metastasis-finding"),
        ("399608002", "fernmetastasen|N", "metastasis-finding"),
        ("277062004", "primaertumor|T", None),
        ("399656008", "lymphknoten|N", None),
        ("399608002", "fernmetastasen|K", None),
        ("399608002", "fernmetastasen|F", None),
    ],
)
def test_the_course_of_the_mii_oncology_module(code, value, concept):
    system, _, letter = value.partition("|")
    base = "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem"
    token = (f"{base}/mii-cs-onko-verlauf-{system}", letter)
    found = [e.concept for e in _shipped().meanings(SCT, code) if token in (e.values or ())]
    assert found == ([concept] if concept else [])


@pytest.mark.parametrize("code", [(SCT, "399387003"), (SCT, "277208005"), (LOINC, "21901-4")])
def test_the_m_category_states_metastases_only_if_it_is_m1(code):
    (entry,) = _shipped().meanings(*code)
    values = entry.values or frozenset()
    assert {(SCT, "1229903009"), ("https://www.uicc.org/resources/tnm", "M1b")} <= values
    assert not values & {(SCT, "1229901006"), ("https://www.uicc.org/resources/tnm", "M0")}


def test_secondary_sites_in_snomed_ct():
    mappings = _shipped()
    expected = {
        "94222008": "metastasis",
        "94225005": "metastasis",
        "94350006": "nodal-recurrence",
        "94186002": "metastasis-unclear-site",
        "94392001": "metastasis-unclear-site",
        "314969001": "local-recurrence",
        "399068003": "prostate-cancer",
    }
    for code, concept in expected.items():
        assert _concepts(mappings, SCT, code) == {concept}
    assert mappings.meanings(SCT, "94503003") == ()
    (named,) = mappings.meanings(SCT, "314994000")
    assert named.names_prostate
    assert not any(entry.names_prostate for entry in mappings.meanings(SCT, "94222008"))


# ------------------------------------------------------------------ grades, kinds, marks, statuses

OWN = "https://w3id.org/fhircryo/CodeSystem/clavien-dindo"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"


def test_the_suffix_of_a_grade_is_left_out(tmp_path):
    text = (
        "grades:\n  scales:\n    clavien-dindo:\n      texts:\n"
        "        - {text: Clavien 3b, grade: IIIb, verified: x}\n"
        "    sir-2003:\n      texts: [{text: sir c, grade: C, verified: x}]\n"
    )
    mappings = _loaded(tmp_path, text)
    for code in ("IIIb", "IIIbd", "IIIb-d"):
        assert mappings.grades[OWN, code].grade == "IIIb"
        assert mappings.grade_index.of_text(code.upper(), "clavien-dindo").grade == "IIIb"
    for words in ("clavien 3B", "Clavien 3b-d", "Clavien 3bd", "Clavien 3b d"):
        assert mappings.grade_index.of_text(words).grade == "IIIb"
    assert mappings.grade_index.of_text("Clavien 3b", "sir-2003") is None
    for words in ("sir cd", "IIIb", "d", ""):
        assert mappings.grade_index.of_text(words) is None


def test_grades_of_the_adverse_event_research_guide_and_of_a_fatal_outcome():
    mappings = _shipped()
    codes = ["C41338", "C41339", "C41340", "C41337", "C48275"]
    found = [mappings.grades[NCIT, code] for code in codes]
    assert [(entry.scale, entry.grade) for entry in found] == [
        ("ctcae-grade", str(grade)) for grade in range(1, 6)
    ]
    fatal = {name: scale.fatal for name, scale in mappings.scales.items()}
    assert fatal == {"clavien-dindo": "V", "sir-2003": "F", "ctcae-grade": "5"}
    assert _concepts(mappings, NCIT, "C48275", "outcome") == {"outcome-fatal"}


def test_kinds_of_complications(tmp_path):
    text = (
        "complication_kinds:\n  stricture:\n"
        f'    withdraw: [{{system: "{WHO}", code: N32.0}}]\n'
        f'    codes: [{{system: "{LOCAL}", code: S, verified: x}}]\n'
        "    texts: [{text: Striktur, verified: x}]\n"
        "  lymphocele:\n    words: Lymphocele\n"
        f'    codes: [{{system: "{LOCAL}", code: L, verified: x}}]\n'
    )
    kinds = _loaded(tmp_path, text).complication_kinds

    def kind(system: str, code: str) -> str | None:
        found = kinds.find(system, code)
        return found.kind if found else None

    assert kind(ICD[1], "N35.014") == kind(WHO, "n991") == kind(LOCAL, "S") == "stricture"
    assert kind(WHO, "N32.0") is None
    assert kind(ICD[2], "N32.0") == "stricture"
    assert kind(SCT, "267064002") == kind(NCIT, "C57097") == "retention"
    assert kind(LOCAL, "L") == "lymphocele"
    assert kind(LOCAL, "X") is kinds.find(None, None) is None
    assert kinds.find_text(" striktur").layer == 1
    assert next(iter(kinds.words)) == "fistula"
    assert kinds.words["lymphocele"] == "Lymphocele"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("  strictur: {codes: []}\n", "did you mean stricture?"),
        ("  fistula:\n    withdraw: [{system: a, code: b}]\n", "no such code to withdraw"),
        (f"  fistula:\n    codes: [{_icd('N35', ', verified: x, descendants: prefix')}]\n", "N35"),
    ],
)
def test_a_mistake_in_a_kind_is_named(text, named, tmp_path):
    with pytest.raises(UsageError) as caught:
        _loaded(tmp_path, "complication_kinds:\n" + text)
    assert str(caught.value).startswith(str(tmp_path / "1.yaml"))
    assert named in str(caught.value)


def test_the_marks_of_an_instrument_and_of_its_domains(tmp_path):
    mark = "{key: m, words: Marked, items: [a, b], value: 0}"
    domain = (
        "{key: KEY, words: w, worse: higher, items: [ITEM], minimum_answered: 1,"
        " score: {method: sum}}"
    )
    domains = ", ".join(
        domain.replace("KEY", f"one-{item}").replace("ITEM", item) for item in ("a", "c")
    )
    items = ", ".join(f"{{key: {k}, link_ids: [{k}], allowed: [0, 1]}}" for k in "abc")
    text = (
        "new_instruments:\n  - key: one\n    words: w\n    source: s\n"
        f'    canonicals: ["http://a"]\n    items: [{items}]\n    domains: [{domains}]\n'
        f"    marks: [{mark}]\n"
    )
    marks = {one.key: one.marks for one in _loaded(tmp_path, text).instruments}
    assert [mark.items for mark in marks["one-a"]] == [("a",)]
    assert marks["one-c"] == marks["ipss"] == ()
    (no_intercourse,) = marks["iief-5"]
    assert (no_intercourse.key, no_intercourse.items, no_intercourse.value) == (
        "no-intercourse",
        ("q2", "q3", "q4", "q5"),
        0,
    )


def test_units_of_volume():
    assert _shipped().volume_units == {"mL": 1, "cm3": 1, "cc": 1, "L": 1000}


def test_the_statuses_of_therapies():
    statuses = _shipped().statuses
    assert set(statuses.salvage_procedure) == {"in-progress", "completed", "stopped"}
    assert "recorded" in statuses.medication_statement
    assert set(statuses.therapy_ongoing) == {"active", "on-hold", "in-progress"}


def test_a_code_of_any_length_is_looked_up():
    """By the few lengths that prefixes have: to try each beginning would take for ever."""
    (entry, *_) = _shipped().meanings(WHO, f"C79.{'9' * 5_000_000}")
    assert entry.concept == "metastasis"
    assert entry.label == f"{WHO}|C79.{'9' * 5_000_000}"
