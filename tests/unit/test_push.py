"""Folders to push, locks, and the patients and credentials of the target."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fhircryo.errors import LockedError, UsageError
from fhircryo.publish.computed_folder import read_computed
from fhircryo.publish.matching import match_patients
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import same_server, target_settings
from fhircryo.record.patients import Selection
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import ServerSettings, Settings
from tests.unit.inputs import AS_OF, folder, procedure

URL = "https://fhir.example/r4"


@pytest.fixture
def computed(tmp_path: Path) -> Path:
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    settings = Settings.model_construct(source_name="here")
    chosen = Selection(frozenset({"p1", "p7"}), frozenset({"p7"}))
    compute_folder(source, tmp_path / "out", RunConfig.of(settings, AS_OF, chosen))
    return tmp_path / "out"


def test_a_computed_folder_is_read(computed):
    found = read_computed(computed)
    assert (found.origin.source_name, found.origin.as_of) == ("here", AS_OF)
    assert found.origin.protocol_name == "bomers-2020 2.0"
    assert found.server is None
    (patient,) = found.patients
    assert patient.patient == "p1"
    assert len(patient.observations) > 10
    # Patients who objected are not named, even if they were asked for.
    assert found.asked_for == {"p1"}


def test_a_folder_that_was_changed_is_refused(computed):
    lines = (computed / "Observation.ndjson").read_bytes().splitlines(keepends=True)
    (computed / "Observation.ndjson").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(UsageError, match="it was changed"):
        read_computed(computed)


@pytest.mark.parametrize(
    "what", ["no folder", "no manifest", "not ours", "no Provenance", "unknown element"]
)
def test_what_is_no_computed_folder_is_refused(what, computed, tmp_path):
    place = computed
    if what == "no folder":
        place = tmp_path / "nowhere"
    elif what == "no manifest":
        (computed / "manifest.json").unlink()
    elif what == "not ours":
        (computed / "manifest.json").write_text(json.dumps({"name": "else"}))
    elif what == "no Provenance":
        (computed / "Provenance.ndjson").write_bytes(b"")
    else:
        observations = computed / "Observation.ndjson"
        first, rest = observations.read_bytes().split(b"\n", 1)
        observations.write_bytes(first[:-1] + b',"note":[]}\n' + rest)
    with pytest.raises(UsageError, match=str(place)):
        read_computed(place)


def test_a_lock_is_held_by_one(tmp_path):
    with target_lock(URL, tmp_path / "state"):
        with (
            pytest.raises(LockedError, match=rf"process {os.getpid()} on .* since") as caught,
            target_lock(URL, tmp_path / "state"),
        ):
            pass
        with target_lock(f"{URL}/other", tmp_path / "state"):
            pass
    assert caught.value.exit_code == 6
    with target_lock(URL, tmp_path / "state"):
        pass


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from fhircryo.publish.target_lock import target_lock\n"
        f"with target_lock({URL!r}, Path({str(tmp_path)!r})): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with target_lock(URL, tmp_path):
        pass


def test_a_state_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="state_folder"), target_lock(URL, tmp_path / "file/state"):
        pass


@pytest.mark.parametrize(
    "first, second, same",
    [
        (URL, URL, True),
        (URL, f"{URL}/", True),
        (URL, "https://FHIR.example:443/r4", True),
        (URL, "http://fhir.example/r4", False),
        (URL, "https://fhir.example/r4b", False),
        (None, URL, False),
    ],
)
def test_same_server(first, second, same):
    assert same_server(first, second) is same


def test_credentials_of_the_source_go_to_no_other_server():
    source = ServerSettings(auth="basic", user="someone", password_env="HUSH")
    settings = Settings.model_construct(source=source)
    assert target_settings(URL, URL, settings) is source
    assert target_settings(URL, "https://elsewhere.example/r4", settings) == ServerSettings()
    assert target_settings(None, URL, settings) == ServerSettings()
    target = ServerSettings(auth="bearer", token_env="OTHER")
    assert (
        target_settings(URL, URL, Settings.model_construct(source=source, target=target)) is target
    )


SYSTEM = "https://national.example/patient"


class Patients:
    """The patients of a target, by id with their identifier."""

    def __init__(self, **patients: str) -> None:
        self.patients = patients

    def search(self, kind, params):
        for name, value in self.patients.items():
            identifier = [{"system": SYSTEM, "value": value}]
            yield [json.dumps({"id": name, "identifier": identifier}).encode()]


def test_patients_are_matched_by_an_identifier():
    target = Patients(t1="1", t2="2", t2b="2", t4="4")
    known_as = {"p1": "1", "p2": "2", "p3": "3", "p4": "4", "p4b": "4", "p5": ""}
    found = match_patients(target, SYSTEM, known_as)
    assert found.ids == {"p1": "t1"}
    shared = "Patient/t4 of the target matches other patients of the source as well"
    assert found.problems == {
        "p2": "several patients of the target have the identifier of this patient:"
        " Patient/t2, Patient/t2b",
        "p3": "no patient of the target has the identifier of this patient",
        "p4": shared,
        "p4b": shared,
        "p5": f"the patient has no identifier of {SYSTEM}, or more than one",
    }
