"""What must be known of a whole source before its resources are read."""

import msgspec

from fhircryo.record.patients import Patients, Selection


class Known(msgspec.Struct):
    """What a scan of a source found.

    ``candidates``: ids of patients with a candidate for the index procedure. ``links``: for each
    replaced patient id, the id that replaces it.
    """

    candidates: set[str] = msgspec.field(default_factory=set)
    links: dict[str, str] = msgspec.field(default_factory=dict)

    def empty_copy(self) -> "Known":
        """A scan that has found nothing yet."""
        return Known()

    def encode(self) -> bytes:
        """What was found, to send it to another process of the same program."""
        return msgspec.msgpack.encode(self)

    def merge(self, encoded: bytes) -> None:
        """Add what another scan found."""
        other = msgspec.msgpack.decode(encoded, type=Known)
        self.candidates |= other.candidates
        self.links.update(other.links)

    def wanted(self, selection: Selection) -> frozenset[str]:
        """The ids of all patients whose resources are retained."""
        return Patients(self.links, selection).wanted(self.candidates)

    def same_persons(self, patients: frozenset[str]) -> frozenset[str]:
        """All ids of the persons whom patient ids belong to."""
        return Patients(self.links).same_persons(patients)
