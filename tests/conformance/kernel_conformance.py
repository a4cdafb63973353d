"""Every operation against torch and central differences: a part of the page on conformance; a minute.

python -m tests.conformance.kernel_conformance
"""

import sys
from pathlib import Path

import numpy as np
import torch

from minicnn.kernels import on
from tests.helpers.kernel_cases import calls_of
from tests.helpers.kernel_settings import SETTINGS, drawn
from tests.helpers.torch_oracle import ORACLES
from tests.unit.kernels.test_derivatives import differences

PAGE = Path(__file__).parents[2] / "docs" / "measurements" / "conformance.md"
BEGIN, END = "<!-- kernels: written by kernel_conformance.py -->", "<!-- /kernels -->"
SIDES = (("reference", np.float64, 1e-10), ("reference", np.float32, 1e-5), ("cpu", np.float32, 1e-4))
DIFFERENCES = 1e-8
CASES = 250


def main():
    rows = [row(operation, drawn(operation, CASES)) for operation in SETTINGS]
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Conformance\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before.rstrip()}\n\n{BEGIN}\n{section(rows)}\n{END}\n{after.lstrip()}", encoding="utf-8")
    limits = [*(limit for *_, limit in SIDES), DIFFERENCES]
    wrong = [
        f"{name}: {error:.1e}"
        for name, _, *errors in rows
        for error, most in zip(errors, limits, strict=True)
        if not error <= most
    ]
    print("\n".join(wrong) or f"no wrong answer in {sum(count for _, count, *_ in rows)} comparisons")
    return bool(wrong)


def row(operation, settings):
    """Name, number of compared arrays, the largest error of each side, and of central differences."""
    cases = [errors(operation, setting) for setting in settings]
    count = sum(len(pairs) for case in cases for pairs in case)
    sides = [max(error for case in cases for error in case[i]) for i in range(len(SIDES))]
    away = [abs(d - p) / scale for s in settings for _, d, p, scale in differences(operation, s) if scale > 0]
    return operation, count + len(away), *sides, max(away, default=0.0)


def errors(operation, setting):
    """For each side the error of every value and gradient, relative to the largest, or to 0.1 if that is less."""
    expected = ORACLES[operation](calls_of(operation, setting))
    pairs = []
    for device, dtype, _ in SIDES:
        calls = calls_of(operation, setting, dtype)
        pairs.append(
            [e for name, call in calls.items() for e in compare_arrays(call.on(on(device), name), expected[name])]
        )
    return pairs


def compare_arrays(result, wanted):
    if not isinstance(wanted, tuple):  # a value, perhaps with its mask or switches
        result, wanted = result[:1] if isinstance(result, tuple) else (result,), (wanted,)
    return [distance(np.asarray(a), np.asarray(b)) for a, b in zip(result, wanted, strict=True)]


def distance(a, b):
    finite = np.isfinite(b)
    if a.shape != b.shape or (np.isfinite(a) != finite).any() or not np.array_equal(a[~finite], b[~finite], True):
        return np.inf
    return float(np.abs(a[finite] - b[finite]).max(initial=0) / np.abs(b[finite]).max(initial=0.1))


def section(rows):
    """The whole part as Markdown."""
    heads = [f"{device}, {np.dtype(dtype).name}" for device, dtype, _ in SIDES]
    version = torch.__version__.partition("+")[0]
    limits = " | ".join(f"{limit:.0e}" for *_, limit in SIDES)
    return "\n".join(
        [
            f"## Kernels: random shapes against torch {version} and central differences",
            "",
            f"{CASES} random cases of each operation: shapes, strides, padding, dilation, groups, memory layouts.",
            "The value and every gradient against torch in float64: the largest error, relative to the largest",
            "value.  The last column is the reference's gradients against central differences in float64, along a",
            "random direction, relative to the terms that are summed.",
            "",
            f"| operation | comparisons | {' | '.join(heads)} | differences |",
            "|---" * (len(SIDES) + 3) + "|",
            f"| limit | | {limits} | {DIFFERENCES:.0e} |",
            *(f"| {name} | {count} | {' | '.join(f'{e:.0e}' for e in worst)} |" for name, count, *worst in rows),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
