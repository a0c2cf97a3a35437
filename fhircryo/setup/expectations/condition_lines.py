"""Lines about Conditions."""

from typing import Any

from fhircryo.setup.expectations.fhir_values import (
    DATA_ABSENT,
    Resource,
    concept,
    concepts,
    moment,
    referred,
    subject,
    updated,
)
from fhircryo.setup.expectations.shorthand_line import Line

MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition"
#: The primary cancer of a Condition: mCODE STU1 and STU2; and since then, in mCODE's profile of
#: secondary cancers.
PRIMARY = f"{MCODE}/mcode-related-primary-cancer-condition"
RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"
SECONDARY_CANCER = f"{MCODE}/mcode-secondary-cancer-condition"


def condition(text: str, number: int) -> Resource:
    """``CODE [onset=] [onset-start=] [recorded=] [status=] [clinical=]``; ids c1, c2 ...

    CODE: one or several, ``a,b``. ``status=text:...``: words; ``status=absent``: only the reason
    for which there is none; ``status=SYSTEM|CODE``: as shown. ``primary=ID``: the Condition that it
    names as its primary cancer; ``related=ID``: likewise, in the way of later editions of mCODE.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "Condition", "id": line.get("id", f"c{number + 1}")}
    updated(line, resource)
    put_primaries(line, resource)
    status = line.get("status")
    if status:
        resource["verificationStatus"] = verification(status)
    clinical = line.get("clinical")
    if clinical:
        system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
        resource["clinicalStatus"] = {"coding": [{"system": system, "code": clinical}]}
    resource["code"] = concepts(line.next())
    resource["subject"] = subject(line)
    onset, start, words = line.get("onset"), line.get("onset-start"), line.get("onset-words")
    if onset:
        resource["onsetDateTime"] = moment(onset)
    if start:
        resource["onsetPeriod"] = {"start": moment(start)}
    if words:
        resource["onsetString"] = words
    recorded = line.get("recorded")
    if recorded:
        resource["recordedDate"] = moment(recorded)
    line.done()
    return resource


def put_primaries(line: Line, resource: Resource) -> None:
    """Put the primary cancers of a line, ``primary=`` and ``related=``, into a Condition."""
    for name, url in (("primary", PRIMARY), ("related", RELATED)):
        for one in referred("Condition", line.all(name)):
            extension = {"url": url, "valueReference": one}
            resource.setdefault("extension", []).append(extension)
            if url == RELATED:
                resource.setdefault("meta", {})["profile"] = [SECONDARY_CANCER]


def verification(status: str) -> dict[str, Any]:
    """A verificationStatus: a code, ``text:...``, ``system|code``, or ``absent``."""
    if status == "absent":
        return {"extension": [{"url": DATA_ABSENT, "valueCode": "unknown"}]}
    if status.startswith("text:") or "|" in status:
        return concept(status)
    return concept(f"http://terminology.hl7.org/CodeSystem/condition-ver-status|{status}")
