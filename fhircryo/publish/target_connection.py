"""An open connection to a FHIR server as target."""

from dataclasses import dataclass

from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.search import Searcher
from fhircryo.publish.origin import Origin


@dataclass(frozen=True)
class TargetConnection:
    """A server that can be written to, what it can do, and the origin of what is written."""

    client: Client
    searcher: Searcher
    capabilities: Capabilities
    origin: Origin

    @property
    def base(self) -> str:
        """The base URL of the server."""
        return self.client.base
