"""Lists of patients that people keep in text files."""

from pathlib import Path

from fhircryo.errors import UsageError


def read_patient_list(path: Path) -> frozenset[str]:
    """The patient ids of a file: one a line, ``p1`` or ``Patient/p1``; ``#`` begins a remark.

    Raises:
        UsageError: the file cannot be read, or a line is no id.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a list of patients: {error}") from error
    found = set()
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        patient = text.rsplit("Patient/", 1)[-1]
        if not patient or any(sign in patient for sign in " ,;/\t"):
            raise UsageError(f"{path}:{number}: {text!r} is no patient id; one id a line")
        found.add(patient)
    return frozenset(found)
