"""Checks of any FHIR server: whether it can be reached, its encryption, version and clock."""

from collections.abc import Generator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.urls import is_loopback
from fhircryo.setup.doctor.check import CheckResult, clock, failed, not_tried, ok, warning


def server_checks(
    client: Client, part: str, exit_code: int
) -> Generator[CheckResult, None, Capabilities | None]:
    """Check that a server can be reached, then its encryption, FHIR version and clock.

    ``part``: ``source`` or ``target``; ``exit_code``: the code of a run that cannot reach it.
    Returns what the server can do; None if it cannot be reached.
    """
    try:
        known = capabilities(client)
    except SourceError as error:
        yield failed(
            part,
            "reachable",
            str(error),
            "check the URL, the network, certificates and credentials",
            exit_code,
        )
        return None
    yield ok(part, "reachable", client.base)
    yield _encryption(client, part)
    yield ok(part, "FHIR version", known.fhir_version)
    yield _clock(client, part)
    return known


def _encryption(client: Client, part: str) -> CheckResult:
    parts = urlsplit(client.base)
    if parts.scheme == "https" and not client.connection.verify_tls:
        return warning(
            part,
            "TLS",
            "certificates are not verified: anyone in between can read and change the data",
            "remove verify_tls = false; set ca_bundle to the server's certificate authority",
        )
    if parts.scheme == "https":
        return ok(part, "TLS", "verified")
    if is_loopback(parts.hostname):
        return ok(part, "TLS", "none; the server runs on this machine")
    return warning(
        part,
        "TLS",
        "none: anyone in between can read the data and the credentials",
        "use the server's https URL",
    )


def _clock(client: Client, part: str) -> CheckResult:
    try:
        answer = client.request("GET", f"{client.base}/metadata")
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except SourceError as error:
        return not_tried(part, "clock", str(error))
    except (KeyError, ValueError):
        return not_tried(part, "clock", "the server does not state its time")
    ahead = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
    advice = "set both by NTP; the cut-off date is today by this machine's clock"
    return clock(part, ahead, advice)
