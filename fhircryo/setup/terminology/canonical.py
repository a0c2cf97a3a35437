"""The elements that all terminology resources have in common."""

from typing import Any

from fhircryo import __version__

Resource = dict[str, Any]


def canonical(kind: str, key: str, base: str, title: str, description: str) -> Resource:
    """Return the first elements of a CodeSystem, ValueSet or ConceptMap.

    They hold no date, so that a version of fhircryo always writes the same bytes.
    """
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
    """Return the canonical URL of a terminology resource."""
    return f"{base}/{kind}/{key}"
