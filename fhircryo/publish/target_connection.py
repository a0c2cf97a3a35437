"""An open connection to a FHIR server as target."""

from dataclasses import dataclass, field

from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.search import Searcher
from fhircryo.publish.known_ids import KnownIds
from fhircryo.publish.origin import Origin


@dataclass(frozen=True)
class TargetConnection:
    """A server that can be written to, what it claims to do, and the origin of what is written.

    ``known``: the ids that are remembered of it. ``patience``: how long what was written may take
    to appear in its searches, in seconds.
    """

    client: Client
    searcher: Searcher
    capabilities: Capabilities
    origin: Origin
    known: KnownIds = field(default_factory=KnownIds.in_memory)
    patience: float = 60.0

    @property
    def base(self) -> str:
        """The base URL of the server."""
        return self.client.base
