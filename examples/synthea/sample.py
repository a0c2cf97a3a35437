"""Cut the kept sample out of Synthea's full output: a few men, what is read of them, little else.

Whole is what endpoints rest on (the man himself, PSA, everything of the prostate); of the rest the
first few by id of each type and man, enough to be passed over. The same full output in any order
gives the same sample.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache"

#: Who: prostatectomy with and without metastasis or death, biopsies with long series of PSA, one
#: who had neither.
MEN = (
    "12772b62-cab8-e445-d7f8-c6bb3cb6b447",
    "1cd80d01-c829-0a3e-dc20-3925c1eee6f5",
    "40123f5c-1e5b-cb75-3431-6da7fd686c6e",
    "498bd436-0980-0360-569f-80fa11af5827",
    "18fd980b-fb97-0786-4ea8-9d56fa71337d",
    "37854cf9-40fc-2440-69d7-e90f57d937aa",
    "808e9484-4730-90a2-eeec-c15de2c4f57f",
    "9c6ff6bc-5028-2848-eced-e469ffe4df57",
    "e7efb9c6-114e-52df-a611-9c7c9e01aaa6",
    "41f5a58c-8c6e-d14d-002a-fb227c32f6c5",
)
#: The codes of what is kept whole: PSA; prostatectomy, biopsy; neoplasm, carcinoma, metastasis.
WHOLE = ("2857-1", "90470006", "65575008", "126906006", "92691004", "314994000")
#: How many others of a type and man.
OTHERS = {"Condition": 12, "Observation": 15, "Procedure": 10}
OTHERS_OF_OTHER_TYPES = 3
#: Longer lines are left out: claims and records in one resource.
LONGEST = 4000

_PATIENT = re.compile(r'"(?:subject|patient|beneficiary)":\{"reference":"Patient/([0-9a-f-]{36})"')
_WHOLE = tuple(f'"code":"{code}"' for code in WHOLE)


def sample_lines(file: Path, men: set[str]) -> list[str]:
    """The lines of one file that belong to the sample, by man and id."""
    whole: list[tuple[str, str, str]] = []
    others: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            found = _PATIENT.search(line)
            own = line.startswith('{"resourceType":"Patient"')
            if not own and (found is None or found[1] not in men):
                continue
            resource = json.loads(line)
            man = resource["id"] if own else found[1]
            if man not in men:
                continue
            entry = (man, resource["id"], line)
            if own or any(code in line for code in _WHOLE):
                whole.append(entry)
            elif len(line) <= LONGEST:
                others[man].append(entry)
    limit = OTHERS.get(file.stem, OTHERS_OF_OTHER_TYPES)
    for entries in others.values():
        whole += sorted(entries)[:limit]
    return [line for _, _, line in sorted(whole)]


def main() -> int:
    """Cut, write, say how large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("full", nargs="?", type=Path, default=CACHE / "synthea")
    parser.add_argument("out", nargs="?", type=Path, default=HERE / "sample")
    options = parser.parse_args()
    files = sorted(options.full.glob("*.ndjson"))
    if not files:
        print(f"sample.py: nothing in {options.full}: run fetch.py first", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    for old in options.out.glob("*.ndjson"):
        old.unlink()
    size = 0
    for file in files:
        content = "".join(sample_lines(file, set(MEN)))
        if content:
            (options.out / file.name).write_text(content, encoding="utf-8")
            size += len(content)
    print(f"{options.out}: {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
