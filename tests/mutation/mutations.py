"""Mutation tests: faults that other engines had, each a small change to a kernel of ours that a test must notice.

A mutation takes the right kernel and returns a wrong one; with its source and the tests that should notice it is a
``Mutant``.  ``applied`` puts the wrong kernel in the right one's place wherever the engine holds it, and takes it
away again.  The mutations are in convolutions.py, pools.py and values.py.
"""

import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple


class Mutant(NamedTuple):
    """A fault in one kernel or in several.

    Attributes
    ----------
    mutate : right kernel -> wrong kernel
    kernels : which ones it replaces
    source : repository and thread where somebody had it
    fault : what is wrong, in a few words
    tests : which tests should notice, as pytest's ``-k`` takes it
    gradient : whether a gradient and its forward pass disagree, so that ``check`` must notice

    """

    mutate: Callable
    kernels: tuple[str, ...]
    source: str
    fault: str
    tests: str
    gradient: bool

    @property
    def name(self):
        return self.mutate.__name__.replace("_", "-")


def mutation(*kernels, source, tests, gradient=True):
    """Make a Mutant of the function below, whose docstring says what is wrong."""
    return lambda mutate: Mutant(mutate, kernels, source, mutate.__doc__.rstrip("."), tests, gradient)


@contextmanager
def applied(mutant):
    """Replace a mutant's kernels in every module of the engine for the length of a ``with``."""
    replaced = []
    for kernel in mutant.kernels:
        modules = [m for name, m in sys.modules.items() if name.startswith(("minicnn.", "tests.")) and m]
        holders = [m for m in modules if callable(vars(m).get(kernel))]
        # weight readers have functions of the same names
        holders.sort(key=lambda m: not m.__name__.startswith("minicnn.kernels."))
        right = next(vars(m)[kernel] for m in holders if m.__name__ == vars(m)[kernel].__module__)
        wrong = mutant.mutate(right)
        replaced += [(m, kernel, right, wrong) for m in holders if vars(m)[kernel] is right]
    try:
        for module, kernel, _, wrong in replaced:
            setattr(module, kernel, wrong)
        yield
    finally:
        for module, kernel, right, _ in replaced:
            setattr(module, kernel, right)


def mutants():
    """All mutants, in the order of their modules."""
    from tests.mutation import convolutions, pools, values

    modules = convolutions, pools, values
    return [value for module in modules for value in vars(module).values() if isinstance(value, Mutant)]
