"""What made a folder stands in its manifest, and no secret does."""

from pathlib import Path

from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import ServerSettings, Settings
from tests.unit.inputs import AS_OF, folder, procedure


def test_how_a_server_is_reached_stands_in_no_manifest(tmp_path: Path) -> None:
    server = ServerSettings(headers={"X-Api-Key": "hush-hush"}, auth="basic", user="someone")
    job = RunConfig.of(Settings.model_construct(source=server, source_name="here"), AS_OF)
    source = folder(tmp_path / "in", {"Procedure.ndjson": [procedure()]})
    compute_folder(source, tmp_path / "out", job)
    for path in (tmp_path / "out").iterdir():
        assert "hush-hush" not in path.read_text()
        assert "X-Api-Key" not in path.read_text()
    assert '"source_name": "here"' in (tmp_path / "out" / "manifest.json").read_text()
