"""Compares the baseline characteristics of the patient with what a case expects.

A characteristic is its value in words (``65``, ``<0.1``, ``external-beam``, ``not-recorded``), and
after it what else is to be checked: a date, a period ``a..b``, ``approximate`` or ``exact``.
"""

import re

from fhircryo.calendar import Span
from fhircryo.endpoints.baseline import (
    BaselineCharacteristics,
    BaselineValue,
    baseline_characteristics,
)
from fhircryo.errors import UsageError
from fhircryo.mapping.yamlfile import nearest
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.expectations.case import Case

_DATE = re.compile(r"\d{4}-\d\d-\d\d(\.\.\d{4}-\d\d-\d\d)?")
_EXACTNESS = ("approximate", "exact")
_NAMES = tuple(name.replace("_", "-") for name in BaselineCharacteristics.__struct_fields__)


def compare_characteristics(
    read: ReadResult, config: RunConfig, case: Case
) -> tuple[dict[str, str], dict[str, str]]:
    """The expected and the computed characteristics of the patient.

    Raises:
        UsageError: there is no such characteristic.
    """
    for name in case.characteristics:
        if name not in _NAMES:
            raise UsageError(f"{name}: no such characteristic{nearest(name, _NAMES)}")
    found = _computed(read, config, case.subject) if case.characteristics else None
    got = {
        name: shown(getattr(found, name.replace("-", "_")), expected) if found else "-"
        for name, expected in case.characteristics.items()
    }
    return case.characteristics, got


def _computed(read: ReadResult, config: RunConfig, patient: str) -> BaselineCharacteristics | None:
    """The baseline characteristics of a patient; None without an index procedure."""
    record = read.records.records.get(patient)
    computed = record and config.endpoints(record, read.lacking)
    return baseline_characteristics(computed.course) if computed else None


def shown(found: BaselineValue, expected: str) -> str:
    """A characteristic in the same detail as the expectation."""
    words = [found.words]
    for word in expected.split():
        if _DATE.fullmatch(word):
            words.append(_days(found.when))
        elif word in _EXACTNESS:
            words.append(_EXACTNESS[not found.approximate])
    return " ".join(words)


def _days(when: Span | None) -> str:
    """A day, a period, or ``-``."""
    if when is None:
        return "-"
    return str(when.first) if when.precise else f"{when.first}..{when.last}"
