"""What a SOURCE or TARGET names: a URL is a FHIR server, anything else is a folder."""

from pathlib import Path

from fhircryo.errors import UsageError


def server_of(place: str | Path | None) -> str | None:
    """The URL that a place names; None where it names a folder, or nothing."""
    text = str(place or "")
    return text if text.lower().startswith(("http://", "https://")) else None


def folder_of(place: str | Path | None) -> Path | None:
    """The folder that a place names; None where it names a server, or nothing."""
    return Path(place) if place is not None and server_of(place) is None else None


def required_server(place: str, what: str) -> str:
    """The URL that a place names; ``what``: how the place is called in the message.

    Raises:
        UsageError: it names no server.
    """
    if server_of(place) is None:
        raise UsageError(f"{what}: {place}: the base URL of a FHIR server is needed")
    return place
