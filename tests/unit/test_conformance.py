"""The profiles and the package: derived, complete, valid FHIR, the same bytes, no half file."""

import gzip
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import fhir.resources
import pytest
from fhir.resources.R4B import get_fhir_model_class as r4_model

from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.endpoints.result import PART_FORMS, PART_UNITS, ComponentKey, PartForm
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.publish.profiles import profile_key, profile_url
from fhircryo.settings import DEFAULT_PROTOCOL
from fhircryo.setup.conformance.concept_maps_r5 import in_r5
from fhircryo.setup.conformance.elements import element
from fhircryo.setup.conformance.endpoint_profiles import endpoint_profiles
from fhircryo.setup.conformance.other_profiles import other_profiles
from fhircryo.setup.conformance.package import package, write_package
from fhircryo.setup.conformance.profile import structure_definition
from fhircryo.setup.conformance.releases import Release, base_definition
from fhircryo.setup.conformance.snapshot import snapshot
from tests.unit.inputs import BASE, COHORT, cli, compute

MAPPINGS = load_mappings()
MODELS = {Release.R4: r4_model, Release.R5: fhir.resources.get_fhir_model_class}
OVERLAY = COHORT.parent / "site-overlay" / "site.yaml"


@pytest.fixture(scope="module", params=list(Release))
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The release and the files of the package that the command writes."""
    file = tmp_path_factory.mktemp("package") / "new" / "package.tgz"
    ran = cli("terminology", "package", file, "--fhir", request.param)
    assert ran.code == 0, ran.err
    assert f"w3id.fhircryo.{request.param.lower()}" in ran.out
    return request.param, unpacked(file.read_bytes())


def unpacked(content: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        files = {one.name: opened.extractfile(one) for one in opened}
        return {name: json.load(file) for name, file in files.items() if file is not None}


@pytest.mark.slow
def test_everything_in_it_is_fhir(archive):
    release, files = archive
    resources = {name: one for name, one in files.items() if "resourceType" in one}
    for name, one in resources.items():
        MODELS[release](one["resourceType"]).model_validate(one)
        assert name.rpartition("/")[2] == f"{one['resourceType']}-{one['id']}.json"
    kinds = {one["resourceType"] for one in resources.values()}
    assert kinds == {
        *("StructureDefinition", "CodeSystem", "ValueSet", "ConceptMap", "CapabilityStatement"),
        *("ImplementationGuide", "Measure", "Observation", "Provenance", "Device"),
    }


def test_the_manifest_and_the_indexes_list_what_is_there(archive):
    release, files = archive
    manifest = files["package/package.json"]
    assert (manifest["name"], manifest["fhirVersions"]) == (
        f"w3id.fhircryo.{release.lower()}",
        [release.version],
    )
    for folder in ("package", "package/example"):
        listed = {one["filename"] for one in files[f"{folder}/.index.json"]["files"]}
        there = {name.rpartition("/")[2] for name in files if name.rpartition("/")[0] == folder}
        assert listed == there - {"package.json", ".index.json"}
    (guide,) = (one for one in files.values() if one.get("resourceType") == "ImplementationGuide")
    listed = {one["reference"]["reference"] for one in guide["definition"]["resource"]}
    there = {f"{one['resourceType']}/{one['id']}" for one in files.values() if "id" in one}
    assert listed == there - {"ImplementationGuide/endpoints"}


def test_what_profiles_name_is_in_it(archive):
    """Value sets of bindings, profiles of examples and of what is required."""
    _, files = archive
    urls = {one.get("url") for one in files.values()}
    text = json.dumps(list(files.values()))
    named = {re.split("[\"'|]", part)[0] for part in text.split(f"{BASE}/")[1:]}
    wanted = {f"{BASE}/{one}" for one in named if one.startswith(("ValueSet/", "StructureDef"))}
    wanted |= {f"{BASE}/{one}" for one in named if one.startswith("CodeSystem/")}
    assert wanted <= urls


def test_the_examples_are_published_endpoints_of_every_profile(archive, tmp_path):
    release, files = archive
    examples = [one for name, one in files.items() if name.startswith("package/example/O")]
    lines = compute(COHORT, tmp_path / "out").files["Observation.ndjson"].splitlines()
    published = {one["id"]: one for one in map(json.loads, lines)}
    assert all(published[one["id"]] == one for one in examples)
    stated = {one["meta"]["profile"][0] for one in examples}
    assert stated == {profile_url(profile_key(one.value_type), BASE) for one in CATALOGUE}
    assert any("dataAbsentReason" in one for one in examples)
    assert any("valueRange" in one for one in examples)
    (device,) = (one for name, one in files.items() if name.startswith("package/example/D"))
    assert ("name" in device) == (release is Release.R5)


@pytest.mark.parametrize("release", list(Release))
def test_snapshots_follow_from_differentials(release):
    for profile in [*endpoint_profiles(MAPPINGS), *other_profiles(BASE, release)]:
        made = structure_definition(profile, BASE, release)
        ids = [one["id"] for one in made["snapshot"]["element"]]
        assert len(set(ids)) == len(ids)
        changed = [one["id"] for one in made["differential"]["element"]]
        places = [ids.index(name) for name in changed]
        assert places == sorted(places), "a differential is in the order of the snapshot"
        whole = {one["id"]: one for one in made["snapshot"]["element"]}
        for one in made["differential"]["element"]:
            for key, value in one.items():
                if key != "constraint":
                    assert whole[one["id"]][key] == value
            keys = {rule["key"] for rule in whole[one["id"]].get("constraint", ())}
            assert {rule["key"] for rule in one.get("constraint", ())} <= keys
        for one in whole.values():
            assert {"definition", "min", "max"} <= one.keys()


def test_slices_have_what_is_below_their_element():
    base = base_definition("Observation", Release.R4).elements
    name = "Observation.component"
    first, second = element(f"{name}:a", "A", max="1"), element(f"{name}:b", "B")
    made = snapshot(base, [first, element(f"{name}:a.code", "C"), second], "urn:x")
    ids = [one["id"] for one in made]
    below = [one["id"].removeprefix(name) for one in base if one["id"].startswith(f"{name}.")]
    start = ids.index(f"{name}:a")
    assert ids[start:] == [
        *(f"{name}:a{part}" for part in ["", *below]),
        *(f"{name}:b{part}" for part in ["", *below]),
    ]
    assert ids[start - len(below) - 1] == name
    assert [one["id"] for one in base] == ids[:start], "the base is not changed"


def test_a_differential_that_walks_into_a_data_type_is_refused():
    base = base_definition("Observation", Release.R4).elements
    with pytest.raises(ValueError, match=r"Observation\.code\.text: no such element"):
        snapshot(base, [element("Observation.code.text", "x")], "urn:x")


def test_every_component_has_a_form():
    assert set(PART_FORMS) == set(ComponentKey)
    quantities = {part for part, form in PART_FORMS.items() if form is PartForm.QUANTITY}
    assert quantities == set(PART_UNITS)


@pytest.mark.slow
def test_an_overlay_is_in_it(tmp_path):
    made = package(load_mappings([OVERLAY]), load_protocol(DEFAULT_PROTOCOL), Release.R4)
    assert "ziekenhuis.example" in json.dumps(made.resources)


def test_concept_maps_of_r5_say_the_same(archive):
    release, files = archive
    maps = [one for one in files.values() if one.get("resourceType") == "ConceptMap"]
    targets = [
        target
        for one in maps
        for group in one["group"]
        for entry in group["element"]
        for target in entry["target"]
    ]
    assert any("dependsOn" in one for one in targets)
    for one in targets:
        assert ("relationship" in one) == (release is Release.R5)
        assert ("equivalence" in one) == (release is Release.R4)
    for one in maps if release is Release.R5 else ():
        declared = {attribute["code"] for attribute in one.get("additionalAttribute", ())}
        used = {part["attribute"] for target in targets for part in target.get("dependsOn", ())}
        assert not declared or used == declared


def test_other_terminology_is_the_same_in_r5():
    one = {"resourceType": "ValueSet", "id": "x"}
    assert in_r5(one) is one


# --- the file


@pytest.fixture(scope="module")
def content() -> Any:
    return package(MAPPINGS, load_protocol(DEFAULT_PROTOCOL), Release.R4)


def test_the_same_version_gives_the_same_bytes(content, tmp_path):
    again = package(load_mappings(), load_protocol(DEFAULT_PROTOCOL), Release.R4)
    write_package(content, tmp_path / "a.tgz")
    write_package(again, tmp_path / "b.tgz")
    first, second = ((tmp_path / name).read_bytes() for name in ("a.tgz", "b.tgz"))
    assert first == second
    text = gzip.decompress(first)
    assert str(Path.home()).encode() not in text
    assert str(tmp_path).encode() not in text


@pytest.mark.slow
def test_an_earlier_package_is_replaced_and_nothing_else(content, tmp_path):
    file = tmp_path / "package.tgz"
    write_package(content, file)
    write_package(content, file)
    other = tmp_path / "other.tgz"
    with tarfile.open(other, "w:gz") as archive:
        member = tarfile.TarInfo("package/package.json")
        text = b'{"name": "hl7.fhir.r4.core"}'
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    (tmp_path / "text").write_text("mine")
    (tmp_path / "empty").touch()
    for name in ("other.tgz", "text", "empty"):
        before = (tmp_path / name).read_bytes()
        ran = cli("terminology", "package", tmp_path / name)
        assert ran.code == 2
        assert "is no package of fhircryo" in ran.err
        assert (tmp_path / name).read_bytes() == before
    ran = cli("terminology", "package", tmp_path)
    assert ran.code == 2
    assert "a folder" in ran.err


@pytest.mark.slow
def test_a_package_that_cannot_be_written_is_not_there(content, tmp_path, monkeypatch):
    file = tmp_path / "package.tgz"
    write_package(content, file)
    before = file.read_bytes()
    monkeypatch.setattr("fhircryo.storage.atomic.os.fsync", _full)
    ran = cli("terminology", "package", file, "--fhir", "R5")
    assert ran.code == 5
    assert "No space left" in ran.err
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    monkeypatch.undo()
    (tmp_path / "a file").touch()
    assert cli("terminology", "package", tmp_path / "a file" / "package.tgz").code == 5


def _full(descriptor: int) -> None:
    raise OSError(28, "No space left on device")
