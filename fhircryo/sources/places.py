"""What a SOURCE or TARGET names: a URL is a FHIR server, anything else is a folder."""

from pathlib import Path


def server_of(place: str | Path | None) -> str | None:
    """The URL that a place names; None where it names a folder, or nothing."""
    text = str(place or "")
    return text if text.lower().startswith(("http://", "https://")) else None


def folder_of(place: str | Path | None) -> Path | None:
    """The folder that a place names; None where it names a server, or nothing."""
    return Path(place) if place is not None and server_of(place) is None else None
