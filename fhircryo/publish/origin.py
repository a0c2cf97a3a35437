"""The source, protocol and cut-off date that all resources of a run have in common."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Origin:
    """The source, protocol and cut-off date of a run, as far as they are published.

    ``base``: the base URL of our canonicals. ``source_name``: distinguishes sources that write to
    the same target.
    """

    base: str
    source_name: str
    protocol: str
    protocol_version: str
    as_of: date

    @property
    def identifier_system(self) -> str:
        """The system of the identifiers of published endpoints."""
        return f"{self.base}/endpoint"

    @property
    def source_system(self) -> str:
        """The system of the tag that names the source."""
        return f"{self.base}/CodeSystem/source"

    @property
    def category_system(self) -> str:
        """The system of the category of all endpoints."""
        return f"{self.base}/CodeSystem/category"

    @property
    def use_system(self) -> str:
        """The system of the tag that names the permitted use of each endpoint."""
        return f"{self.base}/CodeSystem/tag"

    @property
    def protocol_name(self) -> str:
        """The protocol's id and version, as published endpoints name it."""
        return f"{self.protocol} {self.protocol_version}"
