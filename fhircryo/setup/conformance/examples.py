"""Examples of what is published: computed from the shipped cohort as ``compute`` does it."""

import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from msgspec import structs

from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.computed_folder import read_computed
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.provenance import device, in_r5
from fhircryo.publish.shapes import OutObservation, plain
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import Settings
from fhircryo.setup.conformance.releases import Release
from fhircryo.setup.terminology.canonical import Resource
from fhircryo.storage.shipped_files import shipped

#: The cut-off date of the publication whose cohort is shipped.
_AS_OF = date(2017, 12, 31)


def examples(mappings: Mappings, protocol: Protocol, release: Release) -> list[Resource]:
    """Endpoints of each profile with each kind of value, a Provenance, and the Device."""
    settings = Settings.model_construct(base=mappings.base)
    config = RunConfig(mappings, protocol, _AS_OF, settings)
    with tempfile.TemporaryDirectory() as folder:
        computed = Path(folder) / "computed"
        compute_folder(shipped("examples/bomers-2020"), computed, config)
        patients = read_computed(computed).patients
    found = [plain(one) for one in _each_kind(patients)]
    if patients:
        stated, subject = patients[0].provenance, patients[0].observations[0].subject
        found.append(plain(in_r5(stated, subject) if release is Release.R5 else stated))
    return [*found, plain(device(mappings.base, r5=release is Release.R5))]


def _each_kind(patients: list[PatientOutput]) -> Iterator[OutObservation]:
    """The first endpoint of each profile and kind of value."""
    seen = set()
    for patient in patients:
        for one in patient.observations:
            kind = (*(one.meta.profile or ()), *_value_elements(one))
            if kind not in seen:
                seen.add(kind)
                yield one


def _value_elements(observation: OutObservation) -> list[str]:
    """The names of the elements that hold the value, or why there is none."""
    return [
        name
        for name, value in structs.asdict(observation).items()
        if value is not None and name.startswith(("value_", "data_absent"))
    ]
