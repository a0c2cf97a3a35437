"""Checks of any FHIR server: whether it can be reached, its encryption, version and clock."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client, is_loopback
from fhircryo.setup.doctor.check import CheckResult, clock, failed, ok, warning


class ServerChecks:
    """The first checks of a server.

    ``part``: ``source`` or ``target``; ``exit_code``: the code of a run that cannot reach it;
    ``known``: what the server can do, once it has been reached.
    """

    def __init__(self, client: Client, part: str, exit_code: int) -> None:
        self.client = client
        self.part = part
        self.known: Capabilities | None = None
        self._exit_code = exit_code

    def results(self) -> Iterator[CheckResult]:
        """Check that the server can be reached, then its encryption, FHIR version and clock."""
        part = self.part
        try:
            self.known = capabilities(self.client)
        except SourceError as error:
            yield failed(
                part,
                "reachable",
                str(error),
                "check the URL, the network, certificates and credentials",
                self._exit_code,
            )
            return
        yield ok(part, "reachable", self.client.base)
        yield self._encrypted()
        yield ok(part, "FHIR version", self.known.fhir_version)
        yield self._clock()

    def _encrypted(self) -> CheckResult:
        parts = urlsplit(self.client.base)
        if parts.scheme == "https" and not self.client.connection.verify_tls:
            return warning(
                self.part,
                "TLS",
                "certificates are not verified: anyone in between can read and change the data",
                "remove verify_tls = false; set ca_bundle to the server's certificate authority",
            )
        if parts.scheme == "https":
            return ok(self.part, "TLS", "verified")
        if is_loopback(parts.hostname):
            return ok(self.part, "TLS", "none; the server runs on this machine")
        return warning(
            self.part,
            "TLS",
            "none: anyone in between can read the data and the credentials",
            "use the server's https URL",
        )

    def _clock(self) -> CheckResult:
        try:
            answer = self.client.request("GET", f"{self.client.base}/metadata")
            theirs = parsedate_to_datetime(answer.headers["Date"])
        except (SourceError, KeyError, ValueError):
            return warning(
                self.part, "clock", "the server does not state its time", "nothing to do"
            )
        ahead = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
        advice = "set both by NTP; the cut-off date is today by this machine's clock"
        return clock(self.part, ahead, advice)
