"""What any FHIR server is asked first: whether it is there, who we are to it, what time it has."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client, is_loopback
from fhircryo.setup.doctor.check import Finding, failed, ok, warning

_CLOCK_SECONDS = 60


class Reached:
    """The first checks of a server; ``known`` is None where it could not be reached."""

    def __init__(self, client: Client, part: str, exit_code: int) -> None:
        self.client = client
        self.part = part
        self.known: Capabilities | None = None
        self._exit_code = exit_code

    def look(self) -> Iterator[Finding]:
        """Reachable, encrypted, of a version that is read, with a clock like ours."""
        part = self.part
        try:
            self.known = capabilities(self.client)
        except SourceError as error:
            yield failed(
                part,
                "reachable",
                str(error),
                "check URL, network, certificates and credentials",
                self._exit_code,
            )
            return
        yield ok(part, "reachable", self.client.base)
        yield self._encrypted()
        yield ok(part, "FHIR version", self.known.fhir_version)
        yield self._clock()

    def _encrypted(self) -> Finding:
        parts = urlsplit(self.client.base)
        if parts.scheme == "https" and not self.client.connection.verify_tls:
            return warning(
                self.part,
                "TLS",
                "certificates are not verified: anybody in between can read and change all of it",
                "remove verify_tls = false; set ca_bundle to the authority of the server",
            )
        if parts.scheme == "https":
            return ok(self.part, "TLS", "verified")
        if is_loopback(parts.hostname):
            return ok(self.part, "TLS", "none; the server is on this machine")
        return warning(
            self.part,
            "TLS",
            "none: what is sent can be read on the way, credentials too",
            "use the server's https URL",
        )

    def _clock(self) -> Finding:
        try:
            answer = self.client.request("GET", f"{self.client.base}/metadata")
            theirs = parsedate_to_datetime(answer.headers["Date"])
        except (SourceError, KeyError, ValueError):
            return warning(
                self.part, "clock", "the server does not say what time it is", "nothing to do"
            )
        difference = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
        if abs(difference) > _CLOCK_SECONDS:
            return warning(
                self.part,
                "clock",
                f"{difference:+.0f} s: this machine's clock less the server's",
                "set both by NTP; as-of is taken from this machine's",
            )
        return ok(self.part, "clock", f"{difference:+.0f} s")
