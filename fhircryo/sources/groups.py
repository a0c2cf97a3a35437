"""Lists of patients: from a file, or from a Group on the server."""

from pathlib import Path

import msgspec

from fhircryo.errors import UsageError
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import READING_A_GROUP, open_client
from fhircryo.fhir.unexpected import described
from fhircryo.record.patient_list import read_patient_list
from fhircryo.settings import ServerSettings
from fhircryo.sources.places import server_of

#: The prefix of the name of a list of patients that the server itself keeps.
GROUP = "Group/"


class _Member(msgspec.Struct):
    entity: dict[str, object] | None = None


class _Group(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    member: list[_Member] | None = None


def patients_of(source: str, patients: str, settings: ServerSettings) -> frozenset[str]:
    """The patients of a file, or of a ``Group/ID`` on the server SOURCE.

    Raises:
        UsageError: there is no such file or Group, or no ids in it.
    """
    if not patients.startswith(GROUP):
        return read_patient_list(Path(patients))
    server = server_of(source)
    if server is None:
        raise UsageError(f"--patients {patients}: a Group needs a FHIR server as SOURCE")
    with open_client(server, settings, READING_A_GROUP) as client:
        return read_group(client, patients)


def read_group(client: Client, group: str) -> frozenset[str]:
    """The patients of a ``Group/ID`` on the server.

    Raises:
        UsageError: there is no such Group, or it has no patients.
    """
    try:
        content = client.request("GET", f"{client.base}/{group}").content
        read = msgspec.json.decode(content, type=_Group)
    except HttpError as error:
        raise UsageError(f"--patients {group}: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        what = described(content)
        raise UsageError(
            f"--patients {group}: the server gives no Group there but {what}"
        ) from None
    found = set()
    for member in read.member or ():
        reference = str((member.entity or {}).get("reference", ""))
        kind, _, patient = reference.rpartition("/")
        if kind.endswith("Patient") and patient:
            found.add(patient)
    if read.resource_type != "Group":
        raise UsageError(f"--patients {group}: the server returned {described(content)}")
    if not found:
        raise UsageError(f"--patients {group}: no Group with patients in it")
    return frozenset(found)
