"""Notebooks run from first cell to last, their own assertions hold, and what is committed is what comes out."""

import json
import os
from pathlib import Path

import pytest

import minicnn

pytest.importorskip("nbclient", reason="pip install 'minicnn-engine[notebooks]'")
pytest.importorskip("ipykernel", reason="pip install 'minicnn-engine[notebooks]'")
pytest.importorskip("matplotlib", reason="pip install 'minicnn-engine[notebooks]'")
ROOT = Path(minicnn.__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TEXTS = sorted((ROOT / "notebooks" / "text").glob("*.md"))
pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="installed without its sources")


def texts(cell):
    return "".join("".join(o["text"]) for o in cell["outputs"] if o.get("name") == "stdout")


def pictures(cell):
    return sum(any(kind.startswith("image/") for kind in o.get("data", {})) for o in cell["outputs"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


# the packages of notebooks warn about themselves: deprecated calls, event loops, transports
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, 4)
    committed = [(len(texts(cell).splitlines()), pictures(cell)) for cell in code_cells(notebook)]
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    ran = [(len(texts(cell).splitlines()), pictures(cell)) for cell in code_cells(notebook)]
    assert ran == committed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_committed_and_small(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(pictures(cell) for cell in cells) >= 3
    assert all(
        o["output_type"] != "error" and o.get("name") != "stderr" for cell in cells for o in cell["outputs"]
    )
    assert path.stat().st_size < 3_000_000
    home = str(Path.home())
    assert home not in json.dumps(notebook["cells"]) or home == "/"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_the_text_is_the_notebook_s(path):
    jupytext = pytest.importorskip("jupytext", reason="pip install 'minicnn-engine[notebooks]'")
    notebook = jupytext.read(path.parents[1] / f"{path.stem}.ipynb")
    pairs = zip(jupytext.read(path).cells, notebook.cells, strict=True)
    assert all((text.cell_type, text.source) == (cell.cell_type, cell.source) for text, cell in pairs)
