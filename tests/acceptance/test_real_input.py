"""Data that nobody here wrote: Synthea's men, HL7's FHIR R4 and R5 examples, mCODE's.

Runs on the samples kept under ``examples/``; with TEST_REAL_INPUT=full also on everything that
``examples/*/fetch.py`` have fetched into ``.cache/``. What is expected of the men was worked out
by hand from their JSON before it was computed; docs/explanation/real-input.md walks through it.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CACHE = ROOT / ".cache"
AS_OF = "2024-12-31"
PROSTATECTOMY = EXAMPLES / "synthea" / "site.yaml"
BIOPSY = EXAMPLES / "synthea" / "biopsy.yaml"
HL7 = EXAMPLES / "hl7" / "site.yaml"

SAMPLES = [
    pytest.param(EXAMPLES / "synthea" / "sample", PROSTATECTOMY, id="synthea"),
    pytest.param(EXAMPLES / "synthea" / "sample", BIOPSY, id="synthea-biopsy"),
    pytest.param(EXAMPLES / "synthea" / "sample", None, id="synthea-nothing-mapped"),
    pytest.param(EXAMPLES / "hl7" / "sample", HL7, id="hl7"),
    pytest.param(EXAMPLES / "hl7" / "sample", None, id="hl7-nothing-mapped"),
    pytest.param(EXAMPLES / "hl7" / "sample-r5", HL7, id="hl7-r5"),
]
full = pytest.mark.skipif(
    os.environ.get("TEST_REAL_INPUT") != "full", reason="TEST_REAL_INPUT is not full"
)
FULL = [
    pytest.param(CACHE / "synthea", PROSTATECTOMY, id="full-synthea", marks=full),
    pytest.param(CACHE / "synthea", BIOPSY, id="full-synthea-biopsy", marks=full),
    pytest.param(CACHE / "hl7-r4-examples", HL7, id="full-hl7", marks=full),
    pytest.param(CACHE / "hl7-r5-examples", HL7, id="full-hl7-r5", marks=full),
    pytest.param(CACHE / "mcode-examples", HL7, id="full-mcode", marks=full),
]

COMPLICATIONS = (
    "adverse-event-count",
    "worst-clavien-dindo",
    "worst-sir",
    "worst-ctcae",
    "major-complication-clavien",
    "major-complication-sir",
)
TIMES = (
    "disease-free-survival",
    "metastasis-free-survival",
    "failure-free-survival",
    "time-to-salvage-therapy",
    "overall-survival",
    "cancer-specific-survival",
)
RESTS_ON_PSA = (
    "psa-nadir",
    "biochemical-failure",
    "time-to-biochemical-failure",
    "disease-free-12-months",
    "disease-free-survival",
)


def fhircryo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("fhircryo"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def compute(source: Path, target: Path, mappings: Path | None) -> dict[str, Any]:
    """Compute, and the manifest's counts."""
    overlay = [] if mappings is None else ["--mappings", mappings]
    done = fhircryo("compute", source, target, "--as-of", AS_OF, *overlay)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    counts: dict[str, Any] = json.loads((target / "manifest.json").read_text())["counts"]
    return counts


def documents(source: Path) -> Iterator[dict[str, Any]]:
    """What a folder's lines and documents hold, Bundles not unpacked."""
    for file in sorted(source.iterdir()):
        if file.suffix == ".ndjson":
            with file.open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)
        elif file.suffix == ".json":
            yield json.loads(file.read_text(encoding="utf-8-sig"))


def types_in(resource: dict[str, Any]) -> Iterator[str]:
    """The types of a resource and, of a Bundle, of all that is in it instead.

    Of a DiagnosticReport also those of the results that it contains, of Parameters those in them.
    """
    if resource["resourceType"] != "Bundle":
        yield resource["resourceType"]
        if resource["resourceType"] == "DiagnosticReport":
            named = {one.get("reference") for one in resource.get("result", ())}
            for one in resource.get("contained", ()):
                if one["resourceType"] == "Observation" and f"#{one['id']}" in named:
                    yield "Observation"
        for one in (
            resource.get("parameter", ()) if resource["resourceType"] == "Parameters" else ()
        ):
            if "resource" in one:
                yield from types_in(one["resource"])
        return
    for entry in resource.get("entry", ()):
        if "resource" in entry:
            yield from types_in(entry["resource"])


@pytest.mark.parametrize("source, mappings", [*SAMPLES, *FULL])
def test_every_resource_is_accounted_for(source, mappings, tmp_path):
    counts = compute(source, tmp_path / "out", mappings)
    there = Counter(kind for resource in documents(source) for kind in types_in(resource))
    assert counts["unreadable"] == 0
    assert counts["resources"] == there.total()
    assert {**counts["read_by_type"], **counts["other_types"]} == dict(there)
    not_used = Counter(counts["not_used"])
    assert counts["used"] + not_used.total() == sum(counts["read_by_type"].values())


@pytest.mark.parametrize("source, mappings", SAMPLES)
def test_issues_tell_each_resource_that_is_not_used(source, mappings, tmp_path):
    out = tmp_path / "out"
    counts = compute(source, out, mappings)
    told: Counter[str] = Counter()
    for line in (out / "issues.ndjson").read_text().splitlines():
        (issue,) = json.loads(line)["issue"]
        reason = issue["details"]["coding"][0]["code"]
        told[reason] += _counted(issue["diagnostics"])
    expected = Counter(counts["not_used"]) + Counter(counts["notes"])
    # Older versions of what is nobody's are counted and not told one by one.
    del expected["superseded"], told["superseded"]
    assert told == expected


def _counted(diagnostics: str) -> int:
    """How many resources an issue speaks of: one, or so many of a code."""
    words = diagnostics.rsplit(" ", 2)
    return int(words[1]) if words[-1] == "resources" else 1


@dataclass
class Man:
    """What must come out of one man: a date or number where there is one, else the reason.

    Times to event: (date, event or not). ``psa_nadir``: the value; ``days_to_nadir`` and
    ``psa_response``: its components, where it has them.
    """

    d0: str
    psa_nadir: str
    failure: str
    time_to_failure: tuple[str, str] | str
    metastasis: str
    disease_free: str
    disease_free_survival: tuple[str, str] | str
    metastasis_free_survival: tuple[str, str] | str
    failure_free_survival: tuple[str, str] | str
    time_to_salvage: tuple[str, str] | str
    overall_survival: tuple[str, str] | str
    cancer_specific_survival: tuple[str, str] | str
    days_to_nadir: str = ""
    psa_response: str = ""


# fmt: off
#: Prostatectomy as index procedure: Synthea measures no PSA after it. It keeps medications, so
#: that there is no salvage therapy is a statement; none of these drugs is one but a leuprolide.
AFTER_PROSTATECTOMY = {
    # Died of the prostate cancer two years after, nobody had looked since D0. Disease-free and
    # metastasis-free survival leave so late a death out (D0 + 12 months); it ends the others.
    "12772b62-cab8-e445-d7f8-c6bb3cb6b447": Man(
        d0="2010-12-01", psa_nadir="too-few-psa", failure="too-few-psa",
        time_to_failure="too-few-psa", metastasis="N", disease_free="insufficient-psa",
        disease_free_survival="no-follow-up", metastasis_free_survival="no-follow-up",
        failure_free_survival=("2012-12-23", "Y"), time_to_salvage=("2012-12-23", "N"),
        overall_survival=("2012-12-23", "Y"), cancer_specific_survival=("2012-12-23", "Y")),
    # Metastasis after three months, then death of it: the first counts, where both are events.
    "1cd80d01-c829-0a3e-dc20-3925c1eee6f5": Man(
        d0="2006-02-08", psa_nadir="too-few-psa", failure="too-few-psa",
        time_to_failure="too-few-psa", metastasis="2006-05-17", disease_free="N",
        disease_free_survival=("2006-05-17", "Y"), metastasis_free_survival=("2006-05-17", "Y"),
        failure_free_survival=("2006-05-17", "Y"), time_to_salvage=("2007-06-08", "N"),
        overall_survival=("2007-06-08", "Y"), cancer_specific_survival=("2007-06-08", "Y")),
    # Alive, and nothing is known of him after D0: orders of metformin are no contact.
    "40123f5c-1e5b-cb75-3431-6da7fd686c6e": Man(
        d0="2019-06-27", psa_nadir="too-few-psa", failure="too-few-psa",
        time_to_failure="too-few-psa", metastasis="N", disease_free="insufficient-psa",
        disease_free_survival="no-follow-up", metastasis_free_survival="no-follow-up",
        failure_free_survival="no-follow-up", time_to_salvage="no-follow-up",
        overall_survival="no-follow-up", cancer_specific_survival="no-follow-up"),
    # The last PSA and a leuprolide are of the same morning: baseline and hormone therapy at
    # index, neither follow-up nor salvage therapy.
    "498bd436-0980-0360-569f-80fa11af5827": Man(
        d0="2019-01-27", psa_nadir="too-few-psa", failure="too-few-psa",
        time_to_failure="too-few-psa", metastasis="N", disease_free="insufficient-psa",
        disease_free_survival="no-follow-up", metastasis_free_survival="no-follow-up",
        failure_free_survival="no-follow-up", time_to_salvage="no-follow-up",
        overall_survival="no-follow-up", cancer_specific_survival="no-follow-up"),
}

#: Biopsy as index procedure: years of PSA after it. A further biopsy is then a repeat treatment,
#: so salvage therapy, but no failure by itself (``repeat_is_failure`` is false).
AFTER_BIOPSY = {
    # PSA of the same minute as the biopsy is baseline; never above 0.94956 + 2. Died of nobody
    # knows what, ten months after the last PSA: near enough to count.
    "18fd980b-fb97-0786-4ea8-9d56fa71337d": Man(
        d0="2004-10-15", psa_nadir="0.94956", days_to_nadir="2226", psa_response="Y", failure="N",
        time_to_failure=("2013-11-30", "N"), metastasis="N", disease_free="Y",
        disease_free_survival=("2014-10-01", "Y"), metastasis_free_survival=("2014-10-01", "Y"),
        failure_free_survival=("2014-10-01", "N"), time_to_salvage=("2014-10-01", "N"),
        overall_survival=("2014-10-01", "Y"), cancer_specific_survival="cause-unknown"),
    # 3.538, 3.1244, 6.3843 >= 5.1244 on the day of the next biopsy, which ends the series; PSA of
    # later years only shows that he was seen. The landmark is before all.
    "808e9484-4730-90a2-eeec-c15de2c4f57f": Man(
        d0="2017-08-07", psa_nadir="3.1244", days_to_nadir="812", psa_response="Y",
        failure="2021-01-18", time_to_failure=("2021-01-18", "Y"), metastasis="N",
        disease_free="Y",
        disease_free_survival=("2021-01-18", "Y"), metastasis_free_survival=("2024-06-03", "N"),
        failure_free_survival=("2024-06-03", "N"), time_to_salvage=("2021-01-18", "Y"),
        overall_survival=("2024-06-03", "N"), cancer_specific_survival=("2024-06-03", "N")),
    # 0.75917 on the landmark itself is the first and not judged, the second fails: nothing clear.
    # Biopsies again in 2010 and 2019; on the last one's day leuprolide, which is a failure.
    "498bd436-0980-0360-569f-80fa11af5827": Man(
        d0="2006-11-19", psa_nadir="0.75917", days_to_nadir="365", psa_response="Y",
        failure="2008-11-30", time_to_failure=("2008-11-30", "Y"), metastasis="N",
        disease_free="insufficient-psa",
        disease_free_survival=("2008-11-30", "Y"), metastasis_free_survival=("2019-01-27", "N"),
        failure_free_survival=("2019-01-27", "Y"), time_to_salvage=("2010-12-12", "Y"),
        overall_survival=("2019-01-27", "N"), cancer_specific_survival=("2019-01-27", "N")),
    # Four below 2.0613 + 2, then 5.7269. No second biopsy.
    "e7efb9c6-114e-52df-a611-9c7c9e01aaa6": Man(
        d0="2011-05-05", psa_nadir="2.0613", days_to_nadir="365", psa_response="Y",
        failure="2016-05-27", time_to_failure=("2016-05-27", "Y"), metastasis="N",
        disease_free="Y",
        disease_free_survival=("2016-05-27", "Y"), metastasis_free_survival=("2024-07-12", "N"),
        failure_free_survival=("2024-07-12", "N"), time_to_salvage=("2024-07-12", "N"),
        overall_survival=("2024-07-12", "N"), cancer_specific_survival=("2024-07-12", "N")),
    # Metastasis written down half an hour after the biopsy: of the same day, so at baseline. That
    # takes no part in what only death or another treatment ends.
    "37854cf9-40fc-2440-69d7-e90f57d937aa": Man(
        d0="2002-04-02", psa_nadir="too-few-psa", failure="too-few-psa",
        time_to_failure="too-few-psa", metastasis="metastatic-at-baseline",
        disease_free="metastatic-at-baseline", disease_free_survival="metastatic-at-baseline",
        metastasis_free_survival="metastatic-at-baseline",
        failure_free_survival="metastatic-at-baseline", time_to_salvage=("2005-09-27", "N"),
        overall_survival=("2005-09-27", "Y"), cancer_specific_survival=("2005-09-27", "Y")),
    # One PSA is a nadir and no series, above the 5.6598 of before; metastasis two years after, on
    # the day of that PSA and of the next biopsy. Died of it in 2018.
    "9c6ff6bc-5028-2848-eced-e469ffe4df57": Man(
        d0="2013-04-11", psa_nadir="6.7534", days_to_nadir="735", psa_response="N",
        failure="too-few-psa", time_to_failure="too-few-psa", metastasis="2015-04-16",
        disease_free="insufficient-psa",
        disease_free_survival=("2015-04-16", "Y"), metastasis_free_survival=("2015-04-16", "Y"),
        failure_free_survival=("2015-04-16", "Y"), time_to_salvage=("2015-04-16", "Y"),
        overall_survival=("2018-07-18", "Y"), cancer_specific_survival=("2018-07-18", "Y")),
    # The second biopsy ends disease-free survival, the metastasis failure-free survival.
    "1cd80d01-c829-0a3e-dc20-3925c1eee6f5": Man(
        d0="2004-09-01", psa_nadir="5.0553", days_to_nadir="365", psa_response="Y",
        failure="too-few-psa", time_to_failure="too-few-psa", metastasis="2006-05-17",
        disease_free="insufficient-psa",
        disease_free_survival=("2006-02-08", "Y"), metastasis_free_survival=("2006-05-17", "Y"),
        failure_free_survival=("2006-05-17", "Y"), time_to_salvage=("2006-02-08", "Y"),
        overall_survival=("2007-06-08", "Y"), cancer_specific_survival=("2007-06-08", "Y")),
}
# fmt: on


def as_seen(man: Man) -> dict[str, Any]:
    """What must be published of a man, in the words of ``seen``."""

    def time(until: tuple[str, str] | str) -> Any:
        if isinstance(until, str):
            return until
        days = date.fromisoformat(until[0]) - date.fromisoformat(man.d0)
        return (Decimal(days.days), until[1])

    def dated(value: str) -> Any:
        return ("Y", value) if value[:1].isdigit() else value

    nadir = Decimal(man.psa_nadir) if man.psa_nadir[:1].isdigit() else man.psa_nadir
    return {
        "technical-success": ("Y", man.d0),
        "psa-nadir": nadir,
        "biochemical-failure": dated(man.failure),
        "time-to-biochemical-failure": time(man.time_to_failure),
        "local-recurrence": "N",
        "metastasis": dated(man.metastasis),
        "disease-free-12-months": man.disease_free,
        "disease-free-survival": time(man.disease_free_survival),
        "metastasis-free-survival": time(man.metastasis_free_survival),
        "failure-free-survival": time(man.failure_free_survival),
        "time-to-salvage-therapy": time(man.time_to_salvage),
        "overall-survival": time(man.overall_survival),
        "cancer-specific-survival": time(man.cancer_specific_survival),
        # Synthea writes no AdverseEvent at all: that is no word of there having been none.
        **dict.fromkeys(COMPLICATIONS, "source-lacks-type"),
    }


def seen(observation: dict[str, Any]) -> Any:
    """The value of a published Observation: a number, Y or N (dated), or why it is absent."""
    if "dataAbsentReason" in observation:
        return observation["dataAbsentReason"]["coding"][1]["code"]
    if "valueInteger" in observation:
        return observation["valueInteger"]
    if "valueQuantity" in observation:
        value = observation["valueQuantity"]["value"]
        events = [
            part["valueCodeableConcept"]["coding"][0]["code"]
            for part in observation.get("component", ())
            if part["code"]["coding"][0]["code"] == "event"
        ]
        return (value, *events) if events else value
    code = observation["valueCodeableConcept"]["coding"][0]["code"]
    on = observation.get("effectiveDateTime")
    key = observation["code"]["coding"][0]["code"]
    return (code, on) if code == "Y" and on and key != "disease-free-12-months" else code


def seen_components(observation: dict[str, Any]) -> dict[str, str]:
    """The components of a published Observation: a number or a code, "" for a date."""
    found = {}
    for part in observation.get("component", ()):
        number = part.get("valueQuantity", {}).get("value")
        codings = part.get("valueCodeableConcept", {}).get("coding", [{"code": ""}])
        key = part["code"]["coding"][0]["code"]
        found[key] = codings[0]["code"] if number is None else str(number)
    return found


def published(out: Path, of: Callable[[dict[str, Any]], Any] = seen) -> dict[str, dict[str, Any]]:
    """What was published, by man and endpoint."""
    found: dict[str, dict[str, Any]] = {}
    for line in (out / "Observation.ndjson").read_text().splitlines():
        observation = json.loads(line, parse_float=Decimal, parse_int=Decimal)
        man = observation["subject"]["reference"].removeprefix("Patient/")
        key = observation["code"]["coding"][0]["code"]
        assert key not in found.setdefault(man, {})
        found[man][key] = of(observation)
    return found


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[Path, Path]:
    """Where the endpoints of Synthea's sample lie, by overlay."""
    found = {}
    for mappings in (PROSTATECTOMY, BIOPSY):
        found[mappings] = tmp_path_factory.mktemp(mappings.stem) / "out"
        compute(EXAMPLES / "synthea" / "sample", found[mappings], mappings)
    return found


@pytest.fixture(scope="module")
def outcomes(outputs) -> dict[Path, dict[str, dict[str, Any]]]:
    """What was published of Synthea's sample, by overlay."""
    return {mappings: published(out) for mappings, out in outputs.items()}


@pytest.mark.parametrize("man", AFTER_PROSTATECTOMY)
def test_men_after_a_prostatectomy(man, outcomes):
    assert outcomes[PROSTATECTOMY][man] == as_seen(AFTER_PROSTATECTOMY[man])


@pytest.mark.parametrize("man", AFTER_BIOPSY)
def test_men_after_a_biopsy(man, outcomes):
    assert outcomes[BIOPSY][man] == as_seen(AFTER_BIOPSY[man])


def test_what_the_nadir_says_besides(outputs):
    found = published(outputs[BIOPSY], seen_components)
    for man, expected in AFTER_BIOPSY.items():
        said = found[man]["psa-nadir"]
        assert said.get("days-to-nadir", "") == expected.days_to_nadir, man
        assert said.get("psa-response", "") == expected.psa_response, man


def test_a_leuprolide_on_day_0_marks_what_rests_on_psa(outputs):
    found = published(outputs[PROSTATECTOMY], seen_components)
    marked = {
        (man, key)
        for man, endpoints in found.items()
        for key, components in endpoints.items()
        if "hormone-therapy-at-index" in components
    }
    assert marked == {("498bd436-0980-0360-569f-80fa11af5827", key) for key in RESTS_ON_PSA}
    # Twelve years after the first biopsy it is salvage therapy instead.
    after_biopsy = published(outputs[BIOPSY], seen_components).values()
    assert not any(
        "hormone-therapy-at-index" in components
        for endpoints in after_biopsy
        for components in endpoints.values()
    )


def test_what_a_site_says_of_its_own_source(tmp_path, monkeypatch):
    """Nothing is known of this man after D0, but for what the settings say of the whole source."""
    monkeypatch.setenv("FHIRCRYO_COMPLETE_TYPES", "AdverseEvent")
    monkeypatch.setenv("FHIRCRYO_VITAL_STATUS_COMPLETE", "true")
    compute(EXAMPLES / "synthea" / "sample", tmp_path / "out", PROSTATECTOMY)
    man = published(tmp_path / "out")["40123f5c-1e5b-cb75-3431-6da7fd686c6e"]
    assert [man[key] for key in COMPLICATIONS] == [0, "none", "none", "none", "N", "N"]
    until = date.fromisoformat(AS_OF) - date(2019, 6, 27)
    assert man["overall-survival"] == (Decimal(until.days), "N")
    assert man["cancer-specific-survival"] == (Decimal(until.days), "N")
    assert man["metastasis-free-survival"] == "no-follow-up"


def test_no_other_men_are_in_the_cohort(outcomes):
    assert outcomes[PROSTATECTOMY].keys() == AFTER_PROSTATECTOMY.keys()
    also_biopsied = set(AFTER_PROSTATECTOMY) - {"498bd436-0980-0360-569f-80fa11af5827"}
    assert outcomes[BIOPSY].keys() == AFTER_BIOPSY.keys() | also_biopsied


def test_hl7_and_mcode_patients(tmp_path):
    compute(EXAMPLES / "hl7" / "sample", tmp_path / "out", HL7)
    found = published(tmp_path / "out")
    assert found.keys() == {
        "example",
        "f001",
        "cancer-patient-jenny-m",
        "cancer-patient-john-anyperson",
    }
    # A metastasis in the brain after two months, but of the lung cancer that it names.
    john = found["cancer-patient-john-anyperson"]
    assert john["metastasis"] == "N"
    assert john["disease-free-12-months"] == "insufficient-psa"
    issues = (tmp_path / "out" / "issues.ndjson").read_text().splitlines()
    assert [issue for issue in issues if "brain-mets" in issue and "other-primary" in issue]
    # Nothing that counts as contact after the operation: the times have no end.
    for key in TIMES:
        assert john[key] == "no-follow-up", key
    # HL7's one AdverseEvent suspects a Medication, not the operation, but the patient was seen.
    example = found["example"]
    assert example["adverse-event-count"] == 0
    assert example["worst-clavien-dindo"] == "none"
    assert example["overall-survival"] == (Decimal(665), "N")
    assert example["disease-free-survival"] == "no-follow-up"
    # Jenny's paclitaxel and radiotherapy are of the breast: no salvage therapy, and no contact.
    assert found["cancer-patient-jenny-m"]["time-to-salvage-therapy"] == "no-follow-up"
    assert found["cancer-patient-jenny-m"]["disease-free-12-months"] == "insufficient-psa"


@pytest.mark.parametrize("man", [*AFTER_BIOPSY])
def test_explain_names_what_the_result_rests_on(man):
    source = EXAMPLES / "synthea" / "sample"
    told = fhircryo("explain", source, man, "--as-of", AS_OF, "--mappings", BIOPSY)
    assert told.returncode == 0, told.stderr
    expected = AFTER_BIOPSY[man]
    assert expected.d0 in told.stdout
    if expected.psa_nadir[:1].isdigit():
        assert expected.psa_nadir in told.stdout


def walkthroughs() -> list[tuple[str, list[str]]]:
    """The docs' commands, each with the lines that it is said to print."""
    page = (ROOT / "docs" / "explanation" / "real-input.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in page.split("```console\n$ fhircryo ")[1:]]
    return [(block.splitlines()[0], block.splitlines()[1:]) for block in blocks]


@pytest.mark.parametrize(
    "command, lines", walkthroughs(), ids=[command.split()[2][:8] for command, _ in walkthroughs()]
)
def test_the_docs_show_what_explain_says(command, lines):
    arguments = command.replace("examples/", f"{EXAMPLES}/").split()
    told = fhircryo(*arguments)
    assert told.returncode == 0, told.stderr
    assert [line for line in lines if line not in told.stdout.splitlines()] == []
