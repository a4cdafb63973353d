"""The field's words: what the project once said in a private language does not come back.

Each retired word stands beside the one to write; ``docs/reference/glossary.md`` defines those that a reader needs.
"""

import ast
import json
import re
from pathlib import Path

import pytest

import minicnn

ROOT = Path(minicnn.__file__).parent.parent
FOLDERS = ("minicnn", "tests", "benchmarks", "docs")
SOURCES = [p for f in FOLDERS for p in sorted((ROOT / f).rglob("*.py")) if "_build" not in p.parts]
PROSE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "weights/README.md")]
PROSE += [p for p in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "generated"} & set(p.parts)]

# a word of an identifier, and what to write
RETIRED = {
    "found": "the name of the thing: saliency, rows, peer, match",
    "halves": "split_on_out_of_memory, parts of a batch",
    "widened": "in_float64",
    "noted": "recorded, captured",
    "noting": "recording",
    "museum": "mutations",
    "exhibit": "mutant",
    "exhibits": "mutants",
    "hung": "applied",
    "planted": "injected",
    "planting": "injecting",
    "lone": "gemv",
    "apart": "dilation_h, difference, deinterleave",
    "aside": "dilation_w",
    "stimulus": "top image",
    "climb": "gradient_ascent",
    "climbed": "ascended",
    "journal": "checkpoint",
    "twin": "to_torch",
    "arranged": "aligned, reordered",
    "totalled": "sum",
    "splatted": "broadcast",
}
# a turn of phrase, and what to write
PHRASES = {
    r"(?<![\w.])\.\d+ of ": "0.38x PyTorch's time",
    r"\blikes? best\b": "maximises",
    r"\bwhat (a|the) (feature map|unit|channel) answers to\b": "what activates it",
    r"\bby halves\b": "split on out of memory",
    r"\bat home\b": "on the host",
    r"\bmuseum\b": "mutations",
    r"\bnoted (call|pass)": "recorded call",
}


def words_of(identifier):
    """Words of a snake_case or CamelCase name."""
    return re.findall(r"[a-z]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier).lower())


def identifiers(tree):
    for node in ast.walk(tree):
        for field in ("id", "name", "attr", "arg", "asname"):
            value = getattr(node, field, None)
            # a test's name is a sentence, and Python names its own errors
            if isinstance(value, str) and not value.startswith("test_") and not value.endswith("Error"):
                yield value, getattr(node, "lineno", 0)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_retired_word_in_code(path):
    if path == Path(__file__):
        return
    text = path.read_text(encoding="utf-8")
    wrong = {
        f"line {line}: {name} (write {RETIRED[word]})"
        for name, line in identifiers(ast.parse(text))
        for word in words_of(name)
        if word in RETIRED
    }
    assert not wrong, sorted(wrong)
    phrases(path, text)


@pytest.mark.parametrize("path", [p for p in PROSE if p.exists()], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_retired_phrase_in_prose(path):
    phrases(path, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_no_retired_word_in_notebooks(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))  # magics aside
            names = {name for name, _ in identifiers(ast.parse(code))}
            assert not [name for name in names if set(words_of(name)) & RETIRED.keys()], text
        phrases(path, text)


def phrases(path, text):
    for phrase, better in PHRASES.items():
        match = re.search(phrase, text)
        line = text[: match.start()].count("\n") + 1 if match else 0
        assert match is None, f"{path.name}, line {line}: {match[0]!r}; write {better}"
