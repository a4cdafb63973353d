"""Every example runs and prints what it says: in docstrings, in the README and on the documentation's pages."""

import doctest
import os
import re
from importlib import import_module
from pathlib import Path

import pytest

import minicnn

PACKAGE = Path(minicnn.__file__).parent
ROOT = PACKAGE.parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def has_examples(path):
    return ">>> " in path.read_text(encoding="utf-8")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if has_examples(p) and "cuda" not in p.parts]
PAGES = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if p.exists() and has_examples(p)]


@pytest.fixture
def in_root(monkeypatch):
    """Examples name the shipped images as somebody in a clone of the repository would."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_docstrings(path, in_root):
    if "cpu" in path.parts:
        pytest.importorskip("numba")
        pytest.importorskip("scipy")
    result = doctest.testmod(import_module(module_name(path)), optionflags=FLAGS)
    assert result.attempted and not result.failed


@pytest.mark.parametrize("path", PAGES, ids=lambda path: os.path.relpath(path, ROOT))
def test_pages(path, in_root):
    """All Python blocks of a page are one session."""
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    session = "\n".join(block for block in blocks if ">>> " in block)
    test = doctest.DocTestParser().get_doctest(session, {}, path.name, str(path), 0)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    assert test.examples and not runner.run(test).failed


def test_there_are_examples():
    assert MODULES and (PAGES or not (ROOT / "README.md").exists())
