"""The FHIR package of what is published: profiles, terminology, requirements, a measure, examples.

A package of the same version, mappings and protocol always has the same bytes.

Source: https://hl7.org/fhir/packages.html
"""

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fhircryo import __version__
from fhircryo.errors import TargetError, UsageError
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.measure import measure
from fhircryo.publish.shapes import ENCODER
from fhircryo.setup.conformance.concept_maps_r5 import in_r5
from fhircryo.setup.conformance.endpoint_profiles import endpoint_profiles
from fhircryo.setup.conformance.examples import examples
from fhircryo.setup.conformance.other_profiles import other_profiles
from fhircryo.setup.conformance.profile import structure_definition
from fhircryo.setup.conformance.releases import Release
from fhircryo.setup.conformance.requirements import requirements
from fhircryo.setup.terminology.canonical import Resource, canonical
from fhircryo.setup.terminology.terminology_folder import terminology
from fhircryo.storage.atomic import PUBLIC, write_whole

#: As names of FHIR packages are: out of the domain of our canonicals.
_NAME = "w3id.fhircryo"
_TITLE = "Endpoints that fhircryo publishes"
_WORDS = (
    "Profiles of the treatment endpoints that fhircryo computes and publishes, with their"
    " terminology, what is required of a server, and examples"
)
_LICENCE = "Apache-2.0"
_MANIFEST = "package/package.json"
#: The elements of a resource that the index of a folder lists, as HL7's tools write it.
_INDEXED = ("resourceType", "id", "url", "version", "kind", "type", "content", "derivation")
_INDEX_VERSION = 2


@dataclass(frozen=True)
class Package:
    """The content of a package: its conformance resources and its examples."""

    release: Release
    base: str
    resources: list[Resource]
    examples: list[Resource]

    @property
    def name(self) -> str:
        """The name of the package; that of another release is another package."""
        return f"{_NAME}.{self.release.lower()}"

    @property
    def manifest(self) -> Resource:
        """The content of ``package.json``."""
        return {
            "name": self.name,
            "version": __version__,
            "type": "IG",
            "title": _TITLE,
            "description": _WORDS,
            "author": "fhircryo",
            "license": _LICENCE,
            "canonical": self.base,
            "fhirVersions": [self.release.version],
            "dependencies": self.release.dependencies,
            "directories": {"lib": "package", "example": "example"},
        }


def package(mappings: Mappings, protocol: Protocol, release: Release) -> Package:
    """The package of a site: with its overlays' codes and its protocol's time points."""
    base = mappings.base
    profiles = [*endpoint_profiles(mappings), *other_profiles(base, release)]
    found = [structure_definition(profile, base, release) for profile in profiles]
    terms = terminology(mappings, protocol)
    found += [in_r5(one) if release is Release.R5 else one for one in terms]
    found += requirements(base, release)
    found.append(measure(protocol, base))
    shown = examples(mappings, protocol, release)
    guide = _guide(Package(release, base, found, shown))
    return Package(release, base, [guide, *found], shown)


def _guide(content: Package) -> Resource:
    """The ImplementationGuide that lists the content of a package."""
    r5 = content.release is Release.R5
    listed = [
        {"reference": {"reference": _reference(one)}, "name": one["title"]}
        | ({"isExample": False} if r5 else {"exampleBoolean": False})
        for one in content.resources
    ]
    for one in content.examples:
        (profile,) = one["meta"]["profile"]
        example = {"isExample": True, "profile": [profile]} if r5 else {"exampleCanonical": profile}
        name = _reference(one)
        listed.append({"reference": {"reference": name}, "name": name, **example})
    return {
        **canonical("ImplementationGuide", "endpoints", content.base, _TITLE, _WORDS),
        "packageId": content.name,
        "license": _LICENCE,
        "fhirVersion": [content.release.version],
        "definition": {"resource": listed},
    }


def _reference(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


# --- the file


def write_package(content: Package, path: Path) -> None:
    """Write a package, whole or not at all; an earlier package of ours is replaced.

    Raises:
        UsageError: the path is that of something else.
        TargetError: the file cannot be written.
    """
    if path.is_dir():
        raise UsageError(
            f"{path}: a folder; name the file to write, such as {path / 'package.tgz'}"
        )
    if path.exists() and not _is_ours(path):
        raise UsageError(
            f"{path}: the file exists and is no package of fhircryo; choose another name"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"{path.parent}: cannot be written: {error.strerror}") from error
    write_whole(path, _archive(content), PUBLIC)


def _is_ours(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:gz") as archive:
            file = archive.extractfile(_MANIFEST)
            name = json.loads(file.read())["name"] if file is not None else ""
    except (OSError, EOFError, KeyError, TypeError, ValueError, tarfile.TarError):
        return False
    return str(name).startswith(f"{_NAME}.")


def _archive(content: Package) -> bytes:
    """The bytes of the file; they hold no time, owner or name of a file on this machine."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, file in _files(content):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(file), PUBLIC
            archive.addfile(member, io.BytesIO(file))
    return packed.getvalue()


def _files(content: Package) -> Iterator[tuple[str, bytes]]:
    yield _MANIFEST, _json(content.manifest)
    yield from _folder("package", content.resources)
    yield from _folder("package/example", content.examples)


def _folder(folder: str, resources: Iterable[Resource]) -> Iterator[tuple[str, bytes]]:
    """The index of a folder and its resources."""
    named = {f"{one['resourceType']}-{one['id']}.json": one for one in resources}
    index = [
        {"filename": name, **{key: one[key] for key in _INDEXED if isinstance(one.get(key), str)}}
        for name, one in named.items()
    ]
    yield f"{folder}/.index.json", _json({"index-version": _INDEX_VERSION, "files": index})
    for name, one in named.items():
        yield f"{folder}/{name}", _json(one)


def _json(content: Any) -> bytes:
    return msgspec.json.format(ENCODER.encode(content), indent=1) + b"\n"
