"""``python -m tests.mutation.run``: every mutation against the tests and ``check``; writes the page.

For each exhibit the tests of its operation run, and the check of gradients over ``verify_cases``; who notices
kills it.  Then random configurations of right layers pass through the check, where any alarm is a false one.
"""

import argparse
import contextlib
import io
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings

import minicnn
from minicnn.errors import MinicnnError
from minicnn.verify import gradients
from tests.helpers.verify_cases import LAYERS, NETWORKS, normal, random_case
from tests.mutation.mutations import exhibits, hung

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "measurements" / "mutations.md"
RIGHT = "- false alarms of `check` on right layers"
FILES = ("kernels/test_reference", "kernels/test_derivatives", "kernels/test_rectifier_rules")
FILES += ("layers/test_fuse", "test_shapes", "network/test_network")
PYTEST = [*(str(HERE.parent / "unit" / f"{name}.py") for name in FILES), "-q", "-x", "-p", "no:cacheprovider"]
PYTEST += ["-W", "ignore:Module already imported"]  # hypothesis, for its settings below


class Killers:
    """Notes which tests fail."""

    def __init__(self):
        self.names = []

    def pytest_runtest_logreport(self, report):
        """Take down a failure by its name."""
        if report.failed:
            self.names.append(report.nodeid.split("/")[-1])


def tests_that_notice(keywords):
    """Names of the tests that fail, of those that the keywords choose; pytest stops at the first."""
    killers = Killers()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*PYTEST, "-k", keywords], plugins=[killers])
    return killers.names


def checks_that_notice(first_only=True):
    """Names of the layers and networks where the check of gradients alarms."""
    found = []
    cases = [(name, layer, shape) for name, (layer, shape) in LAYERS.items()]
    cases += [(name, layers, (2, 4, 6, 7)) for name, layers in NETWORKS.items()]
    for name, subject, shape in cases:
        subject = minicnn.Network(subject) if isinstance(subject, list) else subject
        if not passes(subject, 3 * normal(shape)):
            found.append(name)
            if first_only:
                break
    return found


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
    rng, found = np.random.default_rng(seed), []
    for i in range(count):
        layer, x = random_case(rng)
        report = gradients(layer, x, seed=i, directions=1, entries=20)
        if not report.ok:
            found.append(f"{layer!r} on {x.shape}: {report.verdict()}")
        if (i + 1) % 1000 == 0:
            print(f"{i + 1} random configurations, {len(found)} false alarms", flush=True)
    return found


def judged(exhibit):
    """An exhibit's row: name, source, fault, test that noticed, check that noticed."""
    with hung(exhibit):
        tests, checks = tests_that_notice(exhibit.tests), checks_that_notice()
    row = exhibit.name, exhibit.source, exhibit.fault, (tests or ["-"])[0], (checks or ["-"])[0]
    missing = exhibit.gradient and not checks
    print(f"{row[0]}: {row[3]}; check: {row[4]}{'  GRADIENT NOT NOTICED' if missing else ''}", flush=True)
    return row


def page(rows, right):
    """Text of the page; ``right`` is the line about right layers."""
    killed = sum(row[3] != "-" or row[4] != "-" for row in rows)
    touching = {e.name for e in exhibits() if e.gradient}
    noticed = sum(row[4] != "-" for row in rows if row[0] in touching)
    lines = [
        "# The museum of bugs",
        "",
        "Faults that other engines had, each put into ours (`tests/mutation/`), and who noticed.",
        "Written by `python -m tests.mutation.run`; do not edit.",
        "",
        f"- killed: {killed} of {len(rows)}",
        f"- of the {len(touching)} where a gradient and its forward pass disagree, `check` alarms at {noticed}",
        right,
        "",
        "| bug | who had it | what is wrong | first test that fails | case where `check` alarms |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {name} | {source} | {fault} | {test} | {check} |" for name, source, fault, test, check in rows),
    ]
    return "\n".join(lines) + "\n"


def main():
    """Run everything; exit 1 if a bug lives or a right layer alarms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=10_000)
    parser.add_argument("--only", nargs="*", help="names of exhibits: the page keeps the rows of the others")
    parser.add_argument("--part", choices=("bugs", "configurations"), help="one of the two alone (default: both)")
    arguments = parser.parse_args()
    settings.register_profile("museum", phases=[Phase.explicit, Phase.generate])  # a bug need not be made small
    settings.load_profile("museum")
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*PYTEST, "--collect-only"])  # the tests must hold right kernels before any is replaced
    start, wrong = time.perf_counter(), False
    if arguments.part != "configurations":
        wrong |= bugs([e for e in exhibits() if not arguments.only or e.name in arguments.only])
    if arguments.part != "bugs" and not arguments.only:
        wrong |= configurations(arguments.configurations)
    print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(wrong)


def bugs(chosen):
    """Judge exhibits and put their rows into the page; return whether one lives, or a wrong gradient passes."""
    if checks_that_notice():
        sys.exit("the check alarms with every kernel right")
    rows = [judged(e) for e in chosen]
    alive = [row[0] for row in rows if row[3] == row[4] == "-"]
    unseen = [e.name for e, row in zip(chosen, rows, strict=True) if e.gradient and row[4] == "-"]
    print(f"{len(rows)} bugs; alive: {alive}; gradients unseen by check: {unseen}")
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    right = next((line for line in lines if line.startswith(RIGHT)), f"{RIGHT}: not counted")
    known = {line.split(" | ")[0][2:]: line[2:-2].split(" | ") for line in lines if line.count(" | ") == 4}
    known |= {row[0]: row for row in rows}
    PAGE.write_text(page([known[e.name] for e in exhibits() if e.name in known], right), encoding="utf-8")
    return bool(alive or unseen)


def configurations(count):
    """Count false alarms and put the number into the page; return whether there are any."""
    alarms = false_alarms(count)
    print(*alarms, f"{count} random configurations, {len(alarms)} false alarms", sep="\n")
    line = f"{RIGHT}: {len(alarms)} in {count:,} random configurations"
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    PAGE.write_text("\n".join(line if old.startswith(RIGHT) else old for old in lines) + "\n", encoding="utf-8")
    return bool(alarms)


if __name__ == "__main__":
    main()
