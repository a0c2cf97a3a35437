"""The example notebook, run from its first cell to its last against a server."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.server.demo_server import load_cohort
from tests.server.hapi import HapiServer, reset

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook" / "server-to-kaplan-meier.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_from_a_server_to_a_kaplan_meier_curve(hapi: HapiServer, monkeypatch, tmp_path):
    reset(hapi.url)
    load_cohort(hapi.url)
    monkeypatch.setenv("FHIR_SERVER", hapi.url)
    # A kernel's files belong to nobody else.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    told = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    text = "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in told
    )
    assert "36 of 57 disease-free, 5 not evaluable" in text
    assert "0.8" in text
    assert any("image/png" in output.get("data", {}) for output in told)
