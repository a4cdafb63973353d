"""Write the ONNX part of CONFORMANCE.md: every case of the backend suite, passed, refused (why) or wrong.

python tests/onnx_conformance.py
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import onnx
from onnx_suite import GROUPS, cases, run

from minicnn.formats.onnx.fold import FOLDED
from minicnn.formats.onnx.operators import LAYERS

PAGE = Path(__file__).with_name("CONFORMANCE.md")
BEGIN, END = "<!-- onnx: written by onnx_conformance.py -->", "<!-- /onnx -->"


def main():
    with tempfile.TemporaryDirectory() as scratch:
        results = [run(folder, scratch) for group in GROUPS for folder in cases(group)]
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Conformance\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    text = f"{before.rstrip()}\n\n{BEGIN}\n{section(results)}\n{END}\n{after.lstrip()}"
    PAGE.write_text(text, encoding="utf-8")
    wrong = [r for r in results if r.outcome == "wrong"]
    print("\n".join(f"wrong: {r.case}: {r.reason}" for r in wrong) or f"no wrong answer in {len(results)} cases")
    return bool(wrong)


def section(results):
    """The whole part as Markdown."""
    ours = [r for r in results if set(r.operators) <= LAYERS.keys() | {"Constant", "Shape"}]
    others = [r for r in results if r not in ours]
    lines = [
        f"## ONNX: the backend test suite of onnx {onnx.__version__}",
        "",
        "Each case is read by `minicnn.formats.onnx`. Cases of single nodes give weights as inputs: each input in",
        "turn is taken as the image and the others become initialisers; what joins values is also run with all of",
        "them computed from one image. A case passes if it is right for some choice and wrong for none. Refused",
        "means a `WeightsError` that names the operator and the node.",
        "",
        "| group | cases | passed | refused | wrong |",
        "|---|---|---|---|---|",
        *(row(group, [r for r in results if r.group == group]) for group in GROUPS),
        row("all", results),
        "",
        "### Operators that have a layer",
        "",
        "| operators of the case | cases | passed | refused | wrong |",
        "|---|---|---|---|---|",
        *(row(ops, [r for r in ours if kinds(r) == ops]) for ops in sorted({kinds(r) for r in ours})),
        "",
        "Refused among them, and why:",
        "",
        *(f"- {r.case.removeprefix('test_')}: {shortened(r.reason)}" for r in ours if r.outcome == "refused"),
        "",
        "### Operators that have none",
        "",
        ", ".join(f"{op} {n}" for op, n in sorted(Counter(culprit(r) for r in others if not passed(r)).items())),
        "",
        "Passed among them, after constant folding: "
        + (", ".join(r.case for r in others if passed(r)) or "none")
        + ".",
    ]
    return "\n".join(lines)


def passed(result):
    return result.outcome == "passed"


def row(name, results):
    """One line of a table."""
    counts = Counter(r.outcome for r in results)
    return f"| {name} | {len(results)} | {counts['passed']} | {counts['refused']} | {counts['wrong']} |"


def kinds(result):
    return ", ".join(result.operators)


def culprit(result):
    """The first operator of a case that has no layer."""
    return next((op for op in result.operators if op not in LAYERS.keys() | FOLDED.keys()), result.operators[0])


def shortened(reason):
    """A reason without the node's name, which says nothing in a suite."""
    return reason.partition("): ")[2] if reason.startswith("node ") else reason


if __name__ == "__main__":
    sys.exit(main())
