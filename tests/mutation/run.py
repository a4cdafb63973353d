"""``python -m tests.mutation.run``: every mutation against the tests and ``check``; writes the page.

For each mutant the tests of its operation run, and the check of gradients over ``verify_cases``; who notices
kills it.  Then random configurations of right layers pass through the check, where any alarm is a false one.
"""

import argparse
import contextlib
import io
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import Phase, settings

import minicnn
from minicnn.errors import MinicnnError
from minicnn.verify import gradients
from tests.helpers.verify_cases import LAYERS, NETWORKS, normal, random_case
from tests.mutation import comparisons
from tests.mutation.mutations import applied, mutants
from tests.unit.verify import test_answers

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "measurements" / "mutations.md"
COMPARISONS = "## Comparison with other programs"
RIGHT = "- false alarms of `check` on right layers"
FILES = ("kernels/test_reference", "kernels/test_derivatives", "kernels/test_rectifier_rules")
FILES += ("layers/test_fuse", "test_shapes", "network/test_network")
PYTEST = [*(str(HERE.parent / "unit" / f"{name}.py") for name in FILES), "-q", "-x", "-p", "no:cacheprovider"]
PYTEST += ["-W", "ignore:Module already imported"]  # hypothesis, for its settings below


class Failures:
    """Pytest plugin that keeps the names of the tests that fail."""

    def __init__(self):
        self.names = []

    def pytest_runtest_logreport(self, report):
        """Keep a failure's name."""
        if report.failed:
            self.names.append(report.nodeid.split("/")[-1])


def failing_tests(keywords):
    """Names of the tests that fail, of those that the keywords choose; pytest stops at the first."""
    failures = Failures()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*PYTEST, "-k", keywords], plugins=[failures])
    return failures.names


def failing_checks(first_only=True):
    """Names of the layers and networks where the check of gradients alarms."""
    alarms = []
    cases = [(name, layer, shape) for name, (layer, shape) in LAYERS.items()]
    cases += [(name, layers, (2, 4, 6, 7)) for name, layers in NETWORKS.items()]
    for name, subject, shape in cases:
        subject = minicnn.Network(subject) if isinstance(subject, list) else subject
        if not passes(subject, 3 * normal(shape)):
            alarms.append(name)
            if first_only:
                break
    return alarms


def passes(subject, x):
    """Whether the check has no complaint; what can't even be computed is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return gradients(subject, x, directions=1, entries=20).ok
    except (MinicnnError, ValueError, IndexError, TypeError):
        return False


def false_alarms(count, seed=0):
    """Random configurations of right layers where the check alarms, as text."""
    rng, alarms = np.random.default_rng(seed), []
    for i in range(count):
        layer, x = random_case(rng)
        report = gradients(layer, x, seed=i, directions=1, entries=20)
        if not report.ok:
            alarms.append(f"{layer!r} on {x.shape}: {report.verdict()}")
        if (i + 1) % 1000 == 0:
            print(f"{i + 1} random configurations, {len(alarms)} false alarms", flush=True)
    return alarms


class Row(NamedTuple):
    """A mutant's row of the page; "-" where nothing noticed it."""

    name: str
    source: str
    fault: str
    test: str
    check: str

    @property
    def killed(self):
        return (self.test, self.check) != ("-", "-")


def judge(mutant):
    """A mutant's row: which test noticed it first, and which check."""
    with applied(mutant):
        tests, checks = failing_tests(mutant.tests), failing_checks()
    row = Row(mutant.name, mutant.source, mutant.fault, (tests or ["-"])[0], (checks or ["-"])[0])
    missing = mutant.gradient and not checks
    print(f"{row.name}: {row.test}; check: {row.check}{'  GRADIENT NOT NOTICED' if missing else ''}", flush=True)
    return row


def page(rows, right):
    """Text of mutations.md; ``right`` is the line about right layers."""
    gradients = {mutant.name for mutant in mutants() if mutant.gradient}
    noticed = sum(row.check != "-" for row in rows if row.name in gradients)
    lines = [
        "# Mutation tests",
        "",
        "Faults that other engines had, each put into ours (`tests/mutation/`), and which test and which check",
        "notices. Written by `python -m tests.mutation.run`; do not edit.",
        "",
        f"- killed: {sum(row.killed for row in rows)} of {len(rows)}",
        f"- of the {len(gradients)} where a gradient and its forward pass disagree, `check` alarms at {noticed}",
        right,
        "",
        "| mutant | who had it | what is wrong | first test that fails | case where `check` alarms |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def main():
    """Run everything; exit 1 if a mutant survives or a right layer alarms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=10_000)
    parser.add_argument("--only", nargs="*", help="names of mutants: the page keeps the rows of the others")
    parser.add_argument(
        "--part", choices=("mutants", "configurations", "comparisons"), help="one of them (default: all)"
    )
    arguments = parser.parse_args()
    settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate])  # no shrinking
    settings.load_profile("mutation")
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*PYTEST, "--collect-only"])  # the tests must hold right kernels before any is replaced
    start, wrong = time.perf_counter(), False
    if arguments.part in (None, "mutants"):
        wrong |= judge_all([m for m in mutants() if not arguments.only or m.name in arguments.only])
    if arguments.part in (None, "configurations") and not arguments.only:
        wrong |= count_false_alarms(arguments.configurations)
    if arguments.part in (None, "comparisons") and not arguments.only:
        wrong |= judge_comparisons()
    print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(wrong)


def judge_all(chosen):
    """Judge mutants and put their rows into the page; return whether one survives, or a wrong gradient passes."""
    if failing_checks():
        sys.exit("the check alarms with every kernel right")
    rows = [judge(mutant) for mutant in chosen]
    alive = [row.name for row in rows if not row.killed]
    missed = [m.name for m, row in zip(chosen, rows, strict=True) if m.gradient and row.check == "-"]
    print(f"{len(rows)} mutants; alive: {alive}; gradients that check does not notice: {missed}")
    lines, _, after = (PAGE.read_text(encoding="utf-8") if PAGE.exists() else "").partition(COMPARISONS)
    lines = lines.splitlines()
    right = next((line for line in lines if line.startswith(RIGHT)), f"{RIGHT}: not counted")
    known = {row.name: row for row in (Row(*cells(line)) for line in lines if len(cells(line)) == 5)}
    known |= {row.name: row for row in rows}
    text = page([known[m.name] for m in mutants() if m.name in known], right)
    PAGE.write_text(f"{text}\n{COMPARISONS}{after}" if after else text, encoding="utf-8")
    return bool(alive or missed)


def cells(line):
    """Cells of a table's line."""
    return line[2:-2].split(" | ")


def count_false_alarms(count):
    """Count false alarms and put the number into the page; return whether there are any."""
    alarms = false_alarms(count)
    print(*alarms, f"{count} random configurations, {len(alarms)} false alarms", sep="\n")
    line = f"{RIGHT}: {len(alarms)} in {count:,} random configurations"
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    PAGE.write_text("\n".join(line if old.startswith(RIGHT) else old for old in lines) + "\n", encoding="utf-8")
    return bool(alarms)


def judge_comparisons():
    """Put the faults of the comparison into the page, and which test notices; return whether one survives."""
    rows = [(fault.what, fault.test if is_noticed(fault) else "-") for fault in comparisons.FAULTS]
    killed = sum(test != "-" for _, test in rows)
    lines = [
        COMPARISONS,
        "",
        'Faults that make `minicnn compare` say "agree" falsely, or miss that two programs agree',
        "(`tests/mutation/comparisons.py`), and the test of `tests/unit/verify/test_answers.py` that notices.",
        "",
        f"- killed: {killed} of {len(rows)}",
        "",
        *("| what is wrong | test that notices |", "| --- | --- |"),
        *(f"| {what} | {test} |" for what, test in rows),
    ]
    before = PAGE.read_text(encoding="utf-8").partition(COMPARISONS)[0].rstrip()
    PAGE.write_text("\n".join([before, "", *lines]) + "\n", encoding="utf-8")
    print(f"{len(rows)} faults of the comparison; killed: {killed}")
    return killed < len(rows)


def is_noticed(fault):
    """Whether the test that is named beside a fault of the comparison fails with it, and only with it."""
    test = getattr(test_answers, fault.test)
    test()
    try:
        with comparisons.applied(fault):
            test()
    except (AssertionError, pytest.fail.Exception):
        return True
    return False


if __name__ == "__main__":
    main()
