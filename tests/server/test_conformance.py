"""The FHIR package on real servers of R4 and R5: what is published is valid, what breaks it is not.

A server installs the package as NPM package; each demand of the profiles is broken once.
"""

import gzip
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from fhircryo import __version__
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.publish.profiles import profile_url
from fhircryo.publish.shapes import ENCODER
from fhircryo.runs.in_memory import compute_resources
from fhircryo.settings import DEFAULT_PROTOCOL
from fhircryo.setup.conformance.endpoint_profiles import endpoint_profiles
from fhircryo.setup.conformance.other_profiles import other_profiles
from fhircryo.setup.conformance.package import package, write_package
from fhircryo.setup.conformance.profile import Profile
from fhircryo.setup.conformance.releases import Release
from tests.server.base_definitions import FOLDER, code_system, definitions
from tests.server.cohorts import BASE, cohort
from tests.server.conftest import serve
from tests.server.hapi import HapiServer, install, reset, switched
from tests.server.loading import load
from tests.server.profile_facets import OTHER, OTHER_TYPES, Demand, broken, demands
from tests.server.published import endpoints, everything
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli

JSON = {"Content-Type": "application/fhir+json"}
MAPPINGS = load_mappings()
#: HL7 Terminology writes a code in small letters that R4 does not; a server knows one edition.
CAUSALITY = "http://terminology.hl7.org/CodeSystem/adverse-event-causality-assess"
WRITTEN = ("Observation", "Provenance", "Device")


def profiles(release: Release) -> list[Profile]:
    return [*endpoint_profiles(MAPPINGS), *other_profiles(BASE, release)]


#: What R4 and R5 demand; R5 demands more of a Provenance.
DEMANDS = {
    release: {one.name: one for profile in profiles(release) for one in demands(profile, release)}
    for release in Release
}
#: A common demand that the profile of every value type replaces by its own.
REPLACED = {"endpoint Observation.code binding"}


@dataclass
class Site:
    """A server that has the package, and what was published to it: endpoints and the others."""

    url: str
    release: Release
    published: list[dict[str, Any]]

    def errors(self, resource: dict[str, Any]) -> list[str]:
        answer = requests.post(
            f"{self.url}/{resource['resourceType']}/$validate",
            json=resource,
            headers=JSON,
            timeout=300,
        )
        return [
            one.get("diagnostics", "")
            for one in answer.json()["issue"]
            if one["severity"] in ("error", "fatal")
        ]


def lines() -> Iterator[bytes]:
    """The lines of the shipped cohort."""
    for path in sorted(COHORT.glob("*.ndjson*")):
        content = path.read_bytes()
        yield from (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()


@pytest.fixture(scope="module")
def computed() -> list[dict[str, Any]]:
    """What is computed of the 62 patients; the salvage therapies as components."""
    protocol = load_protocol(DEFAULT_PROTOCOL).model_copy(update={"salvage_therapy": "report"})
    sources = [*lines(), *map(ENCODER.encode, partly_graded())]
    return as_json(compute_resources(sources, AS_OF, protocol).observations)


def partly_graded() -> list[dict[str, Any]]:
    """A patient with two complications, of which one has a grade."""
    return [
        inputs.procedure("x-ungraded", "2016-01-10", of="ungraded"),
        inputs.adverse_event("graded", "2016-01-12", of="ungraded"),
        inputs.adverse_event("not-graded", "2016-01-12", of="ungraded", severity=None),
    ]


def as_json(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Resources with their numbers as JSON has them."""
    return json.loads(ENCODER.encode(resources))


def few(resources: list[dict[str, Any]]) -> set[str]:
    """Patients who have every profile with every kind of value and every component between them."""
    kinds: dict[str, set[tuple[str, ...]]] = {}
    for one in resources:
        parts = [part["code"]["coding"][0]["code"] for part in one.get("component", ())]
        values = [name for name in one if name.startswith(("value", "dataAbsent"))]
        found = kinds.setdefault(one["subject"]["reference"].partition("/")[2], set())
        found.update((one["meta"]["profile"][0], name) for name in [*parts, *values])
    wanted = set().union(*kinds.values())
    chosen: set[str] = set()
    while wanted:
        best = max(sorted(kinds), key=lambda name: len(kinds[name] & wanted))
        chosen.add(best)
        wanted -= kinds[best]
    return chosen


@pytest.fixture(scope="module")
def own_hapi(request: pytest.FixtureRequest) -> Iterator[HapiServer]:
    """A server of R4 for this module: what HAPI knows of codes outlives its being emptied."""
    yield from serve(request, max_page=500)


@pytest.fixture(scope="module", params=list(Release))
def site(
    request: pytest.FixtureRequest, computed: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A server that installed the package, and to which a few patients were published."""
    release: Release = request.param
    server: HapiServer = request.getfixturevalue("own_hapi" if release is Release.R4 else "hapi_r5")
    reset(server.url)
    # A server looks at the type of a reference only where what it leads to is there.
    load(server.url, [{"resourceType": kind, "id": OTHER} for kind in OTHER_TYPES.values()])
    if release is Release.R5:
        load(server.url, [code_system("v2-0136")])
    folder = tmp_path_factory.mktemp(f"package-{release}")
    file = folder / "package.tgz"
    ran = cli("terminology", "package", file, "--fhir", release)
    assert ran.code == 0, ran.err
    installed = install(
        server.url, file.read_bytes(), f"w3id.fhircryo.{release.lower()}", __version__
    )
    assert f"StructureDefinition={len(profiles(release))}" in installed
    (folder / "patients").write_text("\n".join(sorted(few(computed) - {"ungraded"})))
    where = ("--as-of", AS_OF, "--patients", folder / "patients")
    ran = cli("compute", COHORT, server.url, *where)
    assert ran.code == 0, ran.err
    published = [one for kind in WRITTEN for one in everything(server.url, kind)]
    ours = [one for one in published if "profile" in one["meta"]]
    with server.switched(reference_types=True):
        yield Site(server.url, release, as_json(ours))


def test_everything_that_is_published_is_valid(site):
    """Observations, Provenances and the Device, as they stand on the server."""
    stated = {one["meta"]["profile"][0] for one in site.published}
    concrete = [one for one in profiles(site.release) if not one.abstract]
    assert stated == {profile_url(one.key, BASE) for one in concrete}
    assert len([one for one in site.published if one["resourceType"] == "Observation"]) > 100
    assert {one["id"]: found for one in site.published if (found := site.errors(one))} == {}


def test_the_server_finds_the_package_valid(site, tmp_path):
    """Profiles, requirements, the guide and the examples; test_terminology has the terminology."""
    write_package(package(MAPPINGS, load_protocol(DEFAULT_PROTOCOL), site.release), tmp_path / "p")
    kinds = {"StructureDefinition", "CapabilityStatement", "ImplementationGuide", *WRITTEN}
    kinds |= {"ConceptMap"} if site.release is Release.R5 else set()
    found = [one for one in in_package(tmp_path / "p") if one.get("resourceType") in kinds]
    assert {one["resourceType"] for one in found} == kinds
    errors = {f"{one['resourceType']}/{one['id']}": site.errors(one) for one in found}
    errors["ConceptMap/concept"] = [
        one for one in errors.get("ConceptMap/concept", ()) if CAUSALITY not in one
    ]
    assert {name: found for name, found in errors.items() if found} == {}


def in_package(file: Path) -> Iterator[dict[str, Any]]:
    with tarfile.open(file) as archive:
        for name in archive.getnames():
            member = archive.extractfile(name)
            assert member is not None
            yield json.load(member)


@pytest.mark.parametrize(
    "name", sorted({name for of in DEMANDS.values() for name in of} - REPLACED)
)
def test_what_breaks_one_demand_is_not_valid(name, site, computed):
    """It is valid FHIR, so that nothing but the profile refuses it."""
    demand = DEMANDS[site.release].get(name)
    if demand is None:
        pytest.skip(f"not demanded in {site.release}")
    wrong = broken(demand, of_profile(demand, [*site.published, *computed]))
    meta = {key: value for key, value in wrong["meta"].items() if key != "profile"}
    plain = {key: value for key, value in wrong.items() if key != "meta"}
    assert site.errors(plain | {"meta": meta} if meta else plain) == []
    assert site.errors(wrong) != []


def of_profile(demand: Demand, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The resources that a profile is about."""
    url = profile_url(demand.profile.key, BASE)
    return [
        one
        for one in resources
        if one["resourceType"] == demand.profile.kind
        and (demand.profile.abstract or url in one["meta"]["profile"])
    ]


@pytest.mark.parametrize("release", list(Release))
def test_the_definitions_of_hl7_are_those_that_are_shipped(release):
    for name, content in definitions(release).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == content, name


def test_a_server_that_validates_takes_all_of_it(site, tmp_path, monkeypatch):
    """Each request is validated, and what states a profile that is not known is refused."""
    if site.release is not Release.R4:
        pytest.skip("once is enough")
    source = inputs.folder(tmp_path / "in", {"all.ndjson": cohort("v1", "v2")})
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    with switched(site.url, validate_requests=True):
        refused = requests.put(
            f"{site.url}/Device/unknown",
            json={"resourceType": "Device", "id": "unknown", "meta": {"profile": ["urn:x:none"]}},
            headers=JSON,
            timeout=120,
        )
        assert refused.status_code == 422, refused.text
        monkeypatch.setenv("FHIRCRYO_SOURCE_NAME", "validating")
        ran = cli("compute", source, site.url, "--as-of", AS_OF)
        assert ran.code == 0, ran.err
        again = cli("compute", source, site.url, "--as-of", AS_OF)
        assert (again.code, "unchanged" in again.err) == (0, True)
    found = [one for one in endpoints(site.url) if "v1" in json.dumps(one["subject"])]
    assert found
    assert all("profile" in one["meta"] for one in found)
