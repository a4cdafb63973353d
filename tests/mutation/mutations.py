"""The museum of bugs: faults that other engines had, each a small change of ours that a test must notice.

An exhibit takes the right kernel and returns the wrong one.  ``hung`` puts it in the kernel's place wherever the
engine holds it, and takes it away again.  The halls are museum_convolutions, museum_pools and museum_values.
"""

import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple


class Exhibit(NamedTuple):
    """A fault.

    Attributes
    ----------
    make : right kernel -> wrong kernel
    kernels : which ones it replaces
    source : repository and thread where somebody had it
    fault : what is wrong, in a few words
    tests : which tests should notice, as pytest's ``-k`` takes it
    gradient : whether a gradient and its forward pass disagree, so that ``check`` must notice

    """

    make: Callable
    kernels: tuple[str, ...]
    source: str
    fault: str
    tests: str
    gradient: bool

    @property
    def name(self):
        return self.make.__name__.replace("_", "-")


def exhibit(*kernels, source, tests, gradient=True):
    """Make an exhibit of the function below, whose docstring says what is wrong."""
    return lambda make: Exhibit(make, kernels, source, make.__doc__.rstrip("."), tests, gradient)


@contextmanager
def hung(exhibit):
    """Replace an exhibit's kernels in every module of the engine for the length of a ``with``."""
    places = []
    for kernel in exhibit.kernels:
        modules = [m for name, m in sys.modules.items() if name.startswith(("minicnn.", "tests.")) and m]
        holders = [m for m in modules if callable(vars(m).get(kernel))]
        # weight readers have functions of the same names
        holders.sort(key=lambda m: not m.__name__.startswith("minicnn.kernels."))
        right = next(vars(m)[kernel] for m in holders if m.__name__ == vars(m)[kernel].__module__)
        wrong = exhibit.make(right)
        places += [(m, kernel, right, wrong) for m in holders if vars(m)[kernel] is right]
    try:
        for module, kernel, _, wrong in places:
            setattr(module, kernel, wrong)
        yield
    finally:
        for module, kernel, right, _ in places:
            setattr(module, kernel, right)


def exhibits():
    """All exhibits, in the order of their halls."""
    from tests.mutation import convolutions, pools, values

    halls = convolutions, pools, values
    return [thing for hall in halls for thing in vars(hall).values() if isinstance(thing, Exhibit)]
