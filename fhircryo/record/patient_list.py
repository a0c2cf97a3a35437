"""Reads lists of patients from text files that people maintain."""

from pathlib import Path

from fhircryo.errors import UsageError
from fhircryo.storage.private_files import read_guarded


def read_patient_list(path: Path) -> frozenset[str]:
    """The patient ids in a file: one per line, ``p1`` or ``Patient/p1``; ``#`` starts a comment.

    Raises:
        UsageError: the file cannot be read, every user of the machine can change it, or a line is
            not a patient id.
    """
    try:
        lines = read_guarded(path, "list of patients").decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: cannot be read as a list of patients: {error}") from error
    patients = set()
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        patient = text.rsplit("Patient/", 1)[-1]
        # An id with a character that nobody sees, or in quotation marks, would name nobody.
        if not patient.isprintable() or not patient or any(one in patient for one in " ,;/\"'"):
            raise UsageError(
                f"{path}:{number}: {text!r} is not a patient id; write one id per line, such as p1"
                " or Patient/p1"
            )
        patients.add(patient)
    return frozenset(patients)
