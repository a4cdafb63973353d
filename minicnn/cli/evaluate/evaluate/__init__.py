"""``minicnn evaluate MEASURE``: one module a measure, each with ``configure(parser)`` and ``run(arguments)``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from minicnn.cli.evaluate.evaluate import classification, curves, localisation, methods, pointing, sanity

__all__ = ["MEASURES", "configure", "run"]

# name, module, what it measures; in the order of --help
MEASURES = (
    ("classification", classification, "accuracy, what is taken for what, and whether probabilities hold"),
    ("localisation", localisation, "the ILSVRC protocol: classes, boxes and masks, with baselines and intervals"),
    ("pointing", pointing, "whether maps are largest on the object, with a tolerance"),
    ("curves", curves, "how fast the class comes and goes with each map's pixels"),
    ("methods", methods, "every method of maps by every measure in one table, with verdicts"),
    ("sanity", sanity, "whether maps depend on what the net has learnt: parameters, labels"),
)


def configure(parser: ArgumentParser) -> None:
    """Add the measures."""
    measures = parser.add_subparsers(title="measures", metavar="MEASURE", dest="measure", required=True)
    for name, module, purpose in MEASURES:
        module.configure(measures.add_parser(name, help=purpose, description=f"Measure {purpose}."))


def run(arguments: Namespace) -> int:
    """Measure answers, maps and boxes."""
    modules = {name: module for name, module, _ in MEASURES}
    return modules[arguments.measure].run(arguments)
