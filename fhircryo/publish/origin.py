"""Where published endpoints come from: what all resources of a run have in common."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Origin:
    """Source, protocol and as-of of a run, as far as they are published.

    ``base``: of our canonicals; ``source_name``: tells sources apart on one target.
    """

    base: str
    source_name: str
    protocol: str
    protocol_version: str
    as_of: date

    @property
    def identifier_system(self) -> str:
        """The system of the identifiers that every published endpoint has."""
        return f"{self.base}/endpoint"

    @property
    def source_system(self) -> str:
        """The system of the tag that names the source."""
        return f"{self.base}/CodeSystem/source"

    @property
    def protocol_name(self) -> str:
        """Id and version, as published endpoints name them."""
        return f"{self.protocol} {self.protocol_version}"
