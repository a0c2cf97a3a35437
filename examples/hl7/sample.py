"""Cut the kept sample out of HL7's examples: what is read, small Bundles, one of every other type.

Of each package one NDJSON file, and a folder for each version of FHIR, since the examples of R4 and
R5 share their ids. A resource's text stays as it is but for its line breaks, which
JSON allows between tokens only, so numbers keep their digits.
"""

import argparse
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache"

#: The packages, and the folder of each one's sample.
PACKAGES = {
    "hl7-r4-examples": "sample",
    "mcode-examples": "sample",
    "hl7-r5-examples": "sample-r5",
}
#: How many of a type, the smallest first (None: all), and of any other type.
LIMITS = {
    "AdverseEvent": None,
    "Bundle": 12,
    "Condition": None,
    "Observation": 30,
    "Patient": None,
    "Procedure": None,
    "QuestionnaireResponse": None,
}
#: Of R5 fewer of what has the shape of R4, and the medications, which have another.
LIMITS_R5 = LIMITS | {
    "Bundle": 4,
    "Observation": 12,
    "Patient": 12,
    "Medication": 6,
    "MedicationAdministration": 6,
    "MedicationRequest": 6,
    "MedicationStatement": None,
}
OTHERS = 1
#: Larger resources are left out (bytes of their one line).
LARGEST = 40_000

_BREAK = re.compile(rb"[ \t]*\r?\n\s*")


def sample_lines(folder: Path, limits: dict[str, int | None]) -> list[bytes]:
    """One line per resource of the sample, by type and size."""
    found: dict[str, list[tuple[int, str, bytes]]] = {}
    for file in folder.glob("*.json"):
        line = _BREAK.sub(b"", file.read_bytes().removeprefix(b"\xef\xbb\xbf").strip())
        if len(line) <= LARGEST:
            kind = json.loads(line)["resourceType"]
            found.setdefault(kind, []).append((len(line), file.name, line))
    lines: list[bytes] = []
    for kind in sorted(found):
        lines += [line for _, _, line in sorted(found[kind])[: limits.get(kind, OTHERS)]]
    return lines


def main() -> int:
    """Cut, write, say how large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("full", nargs="?", type=Path, default=CACHE, help="folder of both folders")
    parser.add_argument("out", nargs="?", type=Path, default=HERE)
    options = parser.parse_args()
    for package, sample in PACKAGES.items():
        limits = LIMITS_R5 if sample == "sample-r5" else LIMITS
        lines = sample_lines(options.full / package, limits)
        if not lines:
            print(f"sample.py: nothing in {options.full / package}: run fetch.py", file=sys.stderr)
            return 1
        content = b"".join(line + b"\n" for line in lines)
        folder = options.out / sample
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{package}.ndjson").write_bytes(content)
        print(f"{package}: {len(lines)} resources, {len(content) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
