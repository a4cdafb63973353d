"""The notebook runs from first cell to last, its own assertions hold, and what is committed is what comes out."""

import json
import os
from pathlib import Path

import pytest

import minicnn

pytest.importorskip("nbclient", reason="pip install 'minicnn-engine[notebooks]'")
pytest.importorskip("ipykernel", reason="pip install 'minicnn-engine[notebooks]'")
pytest.importorskip("matplotlib", reason="pip install 'minicnn-engine[notebooks]'")
ROOT = Path(minicnn.__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "deep_inside.ipynb"
pytestmark = pytest.mark.skipif(not NOTEBOOK.exists(), reason="installed without its sources")


def texts(cell):
    return "".join("".join(o["text"]) for o in cell["outputs"] if o.get("name") == "stdout")


def pictures(cell):
    return sum("image/jpeg" in o.get("data", {}) for o in cell["outputs"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


# the packages of notebooks warn about themselves: deprecated calls, event loops, transports
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, 4)
    committed = [(len(texts(cell).splitlines()), pictures(cell)) for cell in code_cells(notebook)]
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    ran = [(len(texts(cell).splitlines()), pictures(cell)) for cell in code_cells(notebook)]
    assert ran == committed


def test_outputs_are_committed_and_small():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(pictures(cell) for cell in cells) >= 15
    assert all(
        o["output_type"] != "error" and o.get("name") != "stderr" for cell in cells for o in cell["outputs"]
    )
    assert NOTEBOOK.stat().st_size < 3_000_000
    home = str(Path.home())
    assert home not in json.dumps(notebook["cells"]) or home == "/"
