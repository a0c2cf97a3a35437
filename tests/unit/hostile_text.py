"""A record whose texts command a terminal and forge lines."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: A line that no output contains.
FORGED = "FORGED: all is well"
#: Sets a window's title, writes to the clipboard, colours (C1), turns the direction of writing,
#: is invisible in several ways, and forges lines.
HOSTILE = (
    "\x1b]0;PWN\x07\x1b]52;c;cm0=\x07\x9b31m\x7f\u202e\u2066\u200b\ufeff\ufe0f\u3164\u2028\u2029\x85"
    f"\r\n  biochemical-failure: N  [final]\n{FORGED}"
)
#: What the scripts and pictures of a hostile document would be.
MARKUP = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'>"
    "[link](javascript:alert(1)) ![picture](https://evil.example/x.png) <https://evil.example>"
    " `code` **bold** _em_ | cell | $\\x$ &lt; {{ 7*7 }} ]]> <!-- --> "
)


def poisoned(resources: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The resources once for each text in them, with the hostile text at the end of that text."""
    number = 0
    for resource in resources:
        for place in _texts(resource):
            number += 1
            changed = copy.deepcopy(resource)
            changed["id"] = f"hostile{number}"
            *way, last = place
            holder: Any = changed
            for step in way:
                holder = holder[step]
            holder[last] += HOSTILE
            yield changed


def _texts(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all texts within a value."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict | list):
        for step, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(one, (*place, step))


def hostile_folder(folder: Path) -> Path:
    """A folder with one patient of the cohort, p1, in whose record the text stands."""
    subject = {"reference": "Patient/p1"}

    def psa(number: int, day: str, unit: str) -> dict:
        return {
            "resourceType": "Observation",
            "id": f"psa{number}",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "2857-1"}]},
            "subject": subject,
            "effectiveDateTime": day,
            "valueQuantity": {"value": 0.5, "unit": unit, "code": "ng/mL"},
        }

    cryoablation = {"system": "http://www.ama-assn.org/go/cpt", "code": "55873"}
    drug = {"system": "http://www.whocc.no/atc", "code": f"L02AE03{HOSTILE}"}
    resources = [
        {
            "resourceType": "Procedure",
            "id": "x",
            "status": "completed",
            "code": {"coding": [cryoablation]},
            "subject": subject,
            "performedDateTime": "2016-01-01",
        },
        psa(1, "2016-04-01", "ng/mL"),
        psa(2, "2016-08-01", f"ng/mL{HOSTILE}"),
        psa(3, "2016-09-01", "ng/mL") | {"status": HOSTILE},
        {
            "resourceType": "MedicationRequest",
            "id": "drug",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"coding": [drug]},
            "subject": subject,
            "authoredOn": "2016-10-01",
        },
    ]
    lines = "".join(json.dumps(resource) + "\n" for resource in resources)
    (folder / "a.ndjson").write_text(lines, encoding="utf-8")
    return folder
