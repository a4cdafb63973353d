"""Mutations of the comparison with other programs: each makes it say "agree" falsely, or miss an agreement.

A mutation takes the right function of ``minicnn.verify`` and returns a wrong one; the ``Fault`` says where the
right one is, and which test of ``tests/unit/verify/test_answers.py`` must notice.
"""

import importlib
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minicnn.verify.comparison.gradients import Gradients

COMPARISON = "minicnn.verify.comparison."


class Fault(NamedTuple):
    """A fault of the comparison: what is wrong in words, where, how, and the test that must notice."""

    what: str
    where: str
    mutate: Callable[[Any], Any]
    test: str


def _no_copy_in(right):
    return lambda self, x: [v._replace(array=np.array(v.array, ndmin=1)) for v in self._call(self.values, x)]


def _no_copy_out(right):
    return lambda self, x: self._call(self.values, np.array(x))


def _relative(change):
    """A relative error of arrays changed first."""
    return lambda right: lambda a, b: right(*change(a, b))


def _broadcasting(right):
    def wrong(a, b):
        try:
            return right(*np.broadcast_arrays(a, b))
        except ValueError:
            return np.inf

    return wrong


def _signed(right):
    return lambda a, b: right(a, b) if a.shape != b.shape or (a - b).max() > 0 else 0.0


def _mean(right):
    return lambda a, b: right(a, b) if a.shape != b.shape else float(np.abs(a - b).mean() / np.abs(a).max())


def _by_size(right):
    return lambda theirs, ours: "rows" if np.prod(theirs) == np.prod(ours) else right(theirs, ours)


def _constant(value):
    return lambda right: lambda *_, **__: value


def _scaled(factor):
    return lambda right: lambda *a: {name: factor * limit for name, limit in right(*a).items()}


ERROR, READABLE = "distance:relative_error", "distance:readable_as"
RUN = "peers.base:Peer.run"


def _only_agreeing(right):
    return lambda pairs, a, b, *_: [(i, j) for i, j in pairs if np.allclose(a[i].array, b[j].array)]


def _reshaped(right):
    return lambda v, shape: v._replace(array=v.array.reshape(shape)) if v.array.size == np.prod(shape) else v


CHECK = "minicnn.verify.conversion:all_agree"

# the test that must notice: what is wrong, where, how
NOTICED = {
    "test_an_input_changed_in_place": [("the input is shared with the peer", RUN, _no_copy_in)],
    "test_a_buffer_that_is_written_again": [("the peer's arrays are kept, not copied", RUN, _no_copy_out)],
    "test_weights_written_by_the_peer": [("the weights are shared", "both:_checksums", _constant({}))],
    "test_answers_that_drift": [("the peer is asked once", "both:measure_repetition", _constant(0.0))],
    "test_an_end_is_compared": [
        (
            "the end behind the last layer is skipped",
            "both:find_answer",
            lambda right: lambda theirs, *rest: right(theirs[:-1] or theirs, *rest),
        )
    ],
    "test_an_end_is_named": [("the end is not named", "answer:describe_answer", _constant(""))],
    "test_a_softmax_of_our_own": [
        (
            "the scores before our softmax are no answer",
            "both:our_answers",
            lambda right: lambda *a: dict(list(right(*a).items())[:1]),
        )
    ],
    "test_values_without_an_answer": [("no obstacle is seen", "caveats:find_obstacle", _constant(""))],
    "test_shapes_that_broadcast": [
        ("shapes are broadcast", ERROR, _broadcasting),
        ("shapes count by their size alone", READABLE, _by_size),
    ],
    "test_another_layout_is_read_and_said": [("maps are reshaped, not transposed", "distance:read_as", _reshaped)],
    "test_every_image_of_a_batch": [
        ("the first image stands for all", ERROR, _relative(lambda a, b: (a[:1], b[:1])))
    ],
    "test_the_last_class": [
        ("the last class is left out", ERROR, _relative(lambda a, b: (a[..., :-1], b[..., :-1]))),
        ("ours is compared with itself", ERROR, _relative(lambda a, b: (a, a))),
    ],
    "test_nan_is_no_agreement": [
        ("NaN counts as ours", ERROR, _relative(lambda a, b: (a, np.where(np.isnan(b), a, b)))),
        ("an empty check passes", CHECK, lambda right: lambda rows: all(right([row]) for row in rows)),
        (
            "NaN passes a check",
            CHECK,
            lambda right: lambda rows: bool(rows) and not any((row["difference"] or 0) > 1 for row in rows),
        ),
    ],
    "test_small_differences": [
        ("an error below zero is none", ERROR, _signed),
        ("errors are divided by a large number", ERROR, lambda right: lambda a, b: right(a, b) / 1e3),
        ("the tolerance is a thousand times as wide", "both:tolerances", _scaled(1e3)),
        ("every peer counts as half precision", "both:peer_dtype", _constant("float16")),
    ],
    "test_one_wrong_entry_of_many": [("the mean error instead of the largest", ERROR, _mean)],
    "test_a_tolerance_that_everything_passes": [
        ("a wide tolerance is not seen", "caveats:LOOSE", lambda right: np.inf)
    ],
    "test_an_answer_in_half_precision": [("half precision is not seen", "both:peer_dtype", _constant("float32"))],
    "test_an_input_in_half_precision": [
        ("the input is not rounded as the peer's is", "inputs:round_to", lambda right: lambda x, _: x)
    ],
    "test_whole_numbers": [("fractions are fed as whole numbers", "inputs:_holds", _constant(True))],
    "test_a_wrong_gradient": [
        ("the gradient is not asked for", "compare:compare_gradients", _constant(Gradients())),
        ("gradients are compared with themselves", "gradients:relative_error", _constant(0.0)),
    ],
    "test_an_input_of_another_program": [
        (
            "a dump's input is not compared with ours",
            "compare:_compare_inputs",
            lambda right: lambda x, _: right(x, x),
        )
    ],
    "test_the_first_difference_is_a_layer": [
        ("differing pairs are dropped", "matching:_drop_merged", _only_agreeing)
    ],
    "test_names_out_of_order": [
        ("names out of order are lost", "matching:_add_namesakes", lambda right: lambda pairs, *_: pairs)
    ],
    "test_nothing_but_constants": [("constant answers are not said", "caveats:_is_constant", _constant(False))],
}
FAULTS = [Fault(*fault, test) for test, faults in NOTICED.items() for fault in faults]


@contextmanager
def applied(fault):
    """Replace the fault's function wherever the engine and the tests hold it, for the length of a ``with``."""
    module, _, path = fault.where.partition(":")
    owner = importlib.import_module(module if module.startswith("minicnn.") else COMPARISON + module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    right = getattr(owner, name)
    wrong = fault.mutate(right)
    # functions are imported by name
    modules = [
        m for n, m in list(sys.modules.items()) if n.startswith(("minicnn.verify", "tests.unit.verify")) and m
    ]
    holders = (
        [owner] if parents else [owner, *(m for m in modules if vars(m).get(name) is right and m is not owner)]
    )
    if not callable(right) or fault.where.startswith("gradients:"):
        holders = [owner]
    try:
        for holder in holders:
            setattr(holder, name, wrong)
        yield
    finally:
        for holder in holders:
            setattr(holder, name, right)
