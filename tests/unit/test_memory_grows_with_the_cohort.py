"""What belongs to nobody of the cohort is counted and let go while reading."""

from pathlib import Path

from fhircryo.record.patients import ALL_PATIENTS
from fhircryo.runs.read_source import read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from tests.unit.inputs import AS_OF, folder, lab, patient, procedure, psa

OTHERS = 300


def test_only_the_cohort_is_kept(tmp_path: Path) -> None:
    others = [f"other-{number}" for number in range(OTHERS)]
    files = {
        "Procedure.ndjson": [procedure()],
        "Patient.ndjson": [patient("p1"), *(patient(other) for other in others)],
        "Observation.ndjson": [
            psa("a", "2016-05-01", 1),
            *(psa(f"psa-{other}", "2016-05-01", 1, of=other) for other in others),
            *(lab(f"lab-{number}") for number in range(OTHERS)),
        ],
    }
    source = folder(tmp_path / "in", files)
    job = RunConfig.of(Settings.model_construct(), AS_OF, ALL_PATIENTS)
    collected = read_source(source, job).collected
    assert sorted(collected.items) == ["Observation/a", "Patient/p1", "Procedure/x1"]
    assert sum(collected.facts.counted.values()) == 3 * OTHERS
    assert sum(collected.facts.seen.values()) == 3 * OTHERS + 3
