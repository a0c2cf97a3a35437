"""The notebook as it is shipped: with the outputs that it gives, for everybody without a server."""

import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples" / "notebook"
NOTEBOOK = FOLDER / "server-to-kaplan-meier.ipynb"


def executed(notebook: Any) -> Any:
    """The notebook run from its first cell to its last, where it lies."""
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    return client.execute()


def texts(notebook: Any) -> list[list[str]]:
    """What each cell shows as text; of a picture, that it is one."""
    return [
        [
            "a picture" if "image/png" in output.get("data", {}) else _text(output)
            for output in cell.get("outputs", ())
        ]
        for cell in notebook.cells
    ]


def _text(output: Any) -> str:
    text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def test_the_shipped_outputs_are_those_of_a_run(monkeypatch, tmp_path):
    monkeypatch.delenv("FHIR_SERVER", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    shipped = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(shipped)
    shown = texts(shipped)
    assert ["a picture"] in shown
    assert any("36 of 57 disease-free" in text for cell in shown for text in cell)
    assert texts(executed(nbformat.read(NOTEBOOK, as_version=4))) == shown


def test_it_shows_no_warning():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr"


if __name__ == "__main__":
    # Writes the notebook with the outputs of a run: python -m tests.docs.test_notebook
    run = executed(nbformat.read(NOTEBOOK, as_version=4))
    for cell in run.cells:
        cell.metadata = {}
    nbformat.write(run, NOTEBOOK)
