"""What all of our terminology resources have in common."""

from typing import Any

from fhircryo import __version__

Resource = dict[str, Any]


def canonical(kind: str, key: str, base: str, title: str, description: str) -> Resource:
    """The beginning of a CodeSystem, ValueSet or ConceptMap: the same for the same version."""
    words = "".join(part.capitalize() for part in key.split("-"))
    return {
        "resourceType": kind,
        "id": key,
        "url": url(kind, key, base),
        "version": __version__,
        "name": f"Fhircryo{words}",
        "title": title,
        "status": "active",
        "experimental": False,
        "publisher": "fhircryo",
        "description": description,
    }


def url(kind: str, key: str, base: str) -> str:
    """Where it is said to stand."""
    return f"{base}/{kind}/{key}"
