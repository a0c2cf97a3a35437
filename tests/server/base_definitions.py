"""Makes the definitions of HL7 that profiles are derived from, out of what HAPI ships.

    python -m tests.server.base_definitions      writes fhircryo/setup/conformance/definitions

The snapshots of Observation, Provenance and Device in R4 and R5, without comments, mappings and
examples. HL7 publishes the FHIR specification under CC0: https://hl7.org/fhir/R4/license.html
"""

import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fhircryo.setup.hapi.hapi_build import classpath

Resource = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "fhircryo" / "setup" / "conformance" / "definitions"
TYPES = ("Observation", "Provenance", "Device")
RELEASES = ("R4", "R5")

_NAMESPACE = "{http://hl7.org/fhir}"
_ELEMENT = (
    *("id", "path", "short", "definition", "min", "max", "base", "contentReference", "type"),
    *("constraint", "isModifier", "isModifierReason", "isSummary", "binding"),
)
#: What repeats, by the name of the element; the others stand once.
_LISTS = frozenset({"element", "type", "targetProfile", "profile", "constraint", "concept"})
_CONSTRAINT = ("key", "severity", "human", "expression", "source")
_BINDING = ("strength", "description", "valueSet")


def definitions(release: str) -> dict[str, str]:
    """The content of each file of a release, by name."""
    jars = Path(classpath().split(":")[1].removesuffix("/*"))
    (jar,) = jars.glob(f"hapi-fhir-validation-resources-{release.lower()}-*.jar")
    with zipfile.ZipFile(jar) as archive:
        read = _from_xml if release == "R4" else _from_package
        return {f"{one['name']}-{release}.json": _file(one) for one in read(archive)}


def code_system(name: str) -> Resource:
    """A code system of HL7 version 2, of which HAPI's server of R5 holds none, out of R4's."""
    jars = Path(classpath().split(":")[1].removesuffix("/*"))
    (jar,) = jars.glob("hapi-fhir-validation-resources-r4-*.jar")
    with zipfile.ZipFile(jar) as archive:
        tables = archive.open("org/hl7/fhir/r4/model/valueset/v2-tables.xml")
        for _, node in ElementTree.iterparse(tables):
            if node.tag != f"{_NAMESPACE}CodeSystem":
                continue
            content = _content(node)
            if content["id"] == name:
                kept = ("id", "url", "version", "name", "status", "content")
                codes = [
                    {key: one[key] for key in ("code", "display")} for one in content["concept"]
                ]
                found = {"resourceType": "CodeSystem", "concept": codes}
                return found | {key: content[key] for key in kept}
            node.clear()
    raise AssertionError(f"no code system {name}")


def _from_xml(archive: zipfile.ZipFile) -> Iterator[Resource]:
    name = "org/hl7/fhir/r4/model/profile/profiles-resources.xml"
    for _, node in ElementTree.iterparse(archive.open(name)):
        if node.tag == f"{_NAMESPACE}StructureDefinition":
            found = node.find(f"{_NAMESPACE}id")
            if found is not None and found.get("value") in TYPES:
                yield _content(node)
            node.clear()


def _from_package(archive: zipfile.ZipFile) -> Iterator[Resource]:
    name = "org/hl7/fhir/r5/packages/hl7.fhir.r5.core-5.0.0.tgz"
    with tarfile.open(fileobj=archive.open(name), mode="r:gz") as package:
        for member in package:
            kind = member.name.removeprefix("package/StructureDefinition-").removesuffix(".json")
            file = package.extractfile(member) if kind in TYPES else None
            if file is not None:
                yield json.load(file)


def _file(definition: Resource) -> str:
    """One element a line, so that a difference can be read."""
    elements = definition["snapshot"]["element"]
    lines = [json.dumps(_element(one), ensure_ascii=False) for one in elements]
    head = {key: definition[key] for key in ("url", "version")}
    start = json.dumps(head, ensure_ascii=False)[:-1]
    return f'{start}, "element": [\n' + ",\n".join(lines) + "\n]}\n"


def _element(content: Resource) -> Resource:
    found = {key: content[key] for key in _ELEMENT if key in content}
    if "constraint" in found:
        found["constraint"] = [
            {key: one[key] for key in _CONSTRAINT if key in one} for one in found["constraint"]
        ]
    if "binding" in found:
        binding = found["binding"]
        found["binding"] = {key: binding[key] for key in _BINDING if key in binding}
    return found


def _content(node: ElementTree.Element) -> Resource:
    found: Resource = {}
    if node.get("id"):
        found["id"] = node.get("id")
    for child in node:
        name = child.tag.removeprefix(_NAMESPACE)
        value: Any = _value(child)
        if name == "extension":
            value = {"url": child.get("url"), **value}
        if name in _LISTS or name == "extension":
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def _value(node: ElementTree.Element) -> Any:
    text = node.get("value")
    if text is None:
        return _content(node)
    if text in ("true", "false"):
        return text == "true"
    return int(text) if node.tag == f"{_NAMESPACE}min" else text


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for release in RELEASES:
        for name, content in definitions(release).items():
            (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
