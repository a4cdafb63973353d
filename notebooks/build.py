"""Make the notebooks of the course from their texts, run them, and keep what came out.

python notebooks/build.py             # all of them
python notebooks/build.py 01          # those whose names begin so
"""

import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
PAIR = "notebooks///ipynb,notebooks/text///md:myst"


def build(text: Path) -> Path:
    """Write the notebook of a text, its code formatted here and there; run it, and keep what came out."""
    path = HERE / f"{text.stem}.ipynb"
    notebook = jupytext.read(text)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # the same at each run
    nbformat.write(notebook, path)
    for words in (["check", "--fix"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *words, "--quiet", path], check=True)
    notebook = nbformat.read(path, 4)
    jupytext.write(notebook, text, fmt="md:myst")
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each ran
    notebook.metadata["jupytext"] = {"formats": PAIR}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)
    return path


if __name__ == "__main__":
    for text in sorted((HERE / "text").glob("*.md")):
        if not sys.argv[1:] or text.name.startswith(tuple(sys.argv[1:])):
            print(build(text))
