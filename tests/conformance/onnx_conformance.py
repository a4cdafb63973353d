"""ONNX's backend suite case by case, and whole networks: a part of the page on conformance; minutes, 4 GB.

python -m tests.conformance.onnx_conformance
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from minicnn import Network, zoo
from minicnn.formats.onnx import write
from minicnn.formats.onnx.constant_folding import FOLDED
from minicnn.formats.onnx.operators import LAYERS
from tests.conformance.onnx_graphs import expected, load_model, run_net
from tests.conformance.onnx_light import LIGHT, X, with_random_weights
from tests.conformance.onnx_suite import GROUPS, cases, run
from tests.helpers.torch_lite0 import Lite0, digits
from tests.helpers.torch_zoo import MODULES, MTCNN
from tests.unit.formats.test_onnx import exported
from tests.unit.zoo.test_zoo import MTCNN_HEADS

PAGE = Path(__file__).parents[2] / "docs" / "measurements" / "conformance.md"
BEGIN, END = "<!-- onnx: written by onnx_conformance.py -->", "<!-- /onnx -->"


def main():
    with tempfile.TemporaryDirectory() as scratch:
        results = [run(folder, scratch) for group in GROUPS for folder in cases(group)]
        networks = [*light(Path(scratch)), *round_trips(Path(scratch))]
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Conformance\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    text = (
        f"{before.rstrip()}\n\n{BEGIN}\n{section(results)}\n{networks_section(networks)}\n{END}\n{after.lstrip()}"
    )
    PAGE.write_text(text, encoding="utf-8")
    wrong = [f"{r.case}: {r.reason}" for r in results if r.outcome == "wrong"]
    wrong += [f"{what} {name}: {error:.1e}" for what, name, error in networks if not error < 1e-4]
    print("\n".join(wrong) or f"no wrong answer in {len(results)} cases and {len(networks)} networks")
    return bool(wrong)


def light(scratch):
    """Largest difference from onnxruntime of the nine light graphs, relative to the largest score."""
    x = np.random.default_rng(1).standard_normal(X, dtype=np.float32)
    for name, title in LIGHT.items():
        net = load_model(with_random_weights(name), scratch)
        yield (
            "light graph, ours against onnxruntime",
            title,
            error(run_net(net, x), expected(scratch / "model.onnx", x)),
        )


def round_trips(scratch):
    """Architectures of the zoo, torch to ONNX to ours, against torch; ours to ONNX, against onnxruntime.

    Those that torchvision has beside are measured by benchmarks/coverage_run.py.
    """
    for name in [name for name in zoo.ARCHITECTURES if name in TWINS]:
        architecture = zoo.architecture(name)
        net = Network(architecture.layers, architecture.input_shape)
        x = np.random.default_rng(1).standard_normal((2, *architecture.input_shape), dtype=np.float32)
        write(scratch / "model.onnx", net)
        yield "zoo, ours to onnxruntime", name, error(run_net(net, x), expected(scratch / "model.onnx", x))
        torch.manual_seed(0)
        module = TWINS[name]()
        if name.startswith("mtcnn"):  # whose view(len(x), -1) is exported as the number of images it saw
            x = x[:1]
        net = load_model(exported(module, torch.from_numpy(x), len(x) > 1), scratch)
        with torch.no_grad():
            yield "zoo, torch to ours", name, error(run_net(net, x), module(torch.from_numpy(x)).numpy())


class Head(MTCNN):
    """One output of a net with several."""

    def __init__(self, which, head):
        super().__init__(which)
        self.head = head

    def forward(self, x):
        return super().forward(x)[self.head]


def lenet5():
    """LeNet-5 with its coefficients and squashing constants folded into the weights, as the zoo has it."""
    maps = [nn.Conv2d(1, 6, 5), nn.Conv2d(6, 6, 2, 2, groups=6), nn.Conv2d(6, 16, 5)]
    maps += [nn.Conv2d(16, 16, 2, 2, groups=16), nn.Conv2d(16, 120, 5)]
    squashed = [part for conv in maps for part in (conv, nn.Tanh())]
    return nn.Sequential(*squashed, nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10))


# torch modules for architectures of the zoo
TWINS = MODULES | {"digits": digits, "lenet5": lenet5, "efficientnet-lite0": Lite0}
TWINS |= {name: lambda which=which, head=head: Head(which, head) for name, which, _, head in MTCNN_HEADS}


def error(y, reference):
    """Largest difference, relative to the largest value."""
    return float(np.abs(y.reshape(reference.shape) - reference).max() / np.abs(reference).max())


def networks_section(networks):
    """Table of whole networks."""
    kinds = list(dict.fromkeys(kind for kind, _, _ in networks))
    errors = {(kind, name): f"{error:.0e}" for kind, name, error in networks}
    names = list(dict.fromkeys(name for _, name, _ in networks))
    return "\n".join(
        [
            "",
            "### Whole networks",
            "",
            "Random weights; largest difference of the scores, relative to the largest score. 1e-4 is the limit.",
            "",
            f"| network | {' | '.join(kinds)} |",
            "|---" * (len(kinds) + 1) + "|",
            *(f"| {name} | {' | '.join(errors.get((kind, name), '') for kind in kinds)} |" for name in names),
        ]
    )


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
        *(f"- {r.case.removeprefix('test_')}: {shorten(r.reason)}" for r in ours if r.outcome == "refused"),
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


def shorten(reason):
    """A reason without the node's name, which says nothing in a suite."""
    return reason.partition("): ")[2] if reason.startswith("node ") else reason


if __name__ == "__main__":
    sys.exit(main())
