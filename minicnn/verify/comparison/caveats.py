"""What keeps agreeing values from meaning that two programs agree, and what else a reader should know of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.verify.comparison.answer import describe_answer
from minicnn.verify.comparison.both import Both, measure_repetition, our_answers
from minicnn.verify.comparison.distance import distance, relative_error
from minicnn.verify.comparison.result import OF_GRADIENTS, ComparedValue
from minicnn.verify.probe import Value

__all__ = ["explain_answer", "find_obstacle", "list_remarks"]

# relative to the largest value; of a gradient beside kinks, to its length
LOOSE, LOOSE_GRADIENT = 0.1, 0.5
TOO_WIDE = "within which too much would agree"
SATURATED = 1e-6  # of a probability, to 1
IMAGENET = np.reshape([0.485, 0.456, 0.406], (3, 1, 1)), np.reshape([0.229, 0.224, 0.225], (3, 1, 1))


def find_obstacle(
    run: Both, answer: ComparedValue | None, values: Sequence[ComparedValue], gradients: Sequence[ComparedValue]
) -> str:
    """Return what keeps agreeing values from meaning that the two programs agree, or ""."""
    if answer is None:
        return f"the peer's values end at {run.theirs[-1].name}, and what it answers is not among them"
    difference = measure_repetition(run.net, run.peer, run.x, run.theirs)
    if difference > answer.tolerance:
        return (
            f"the peer is not deterministic: two calls with the same input differ by {difference:.2g}; switch "
            "dropout off, and statistics of the batch, or set its seed"
        )
    loose = [value for value in values if value.tolerance > LOOSE]
    if loose:
        return f"the tolerance at {loose[0].name} is {loose[0].tolerance:.2g}, {TOO_WIDE}"
    loose = [value for value in gradients if value.tolerance > LOOSE_GRADIENT]
    return f"{OF_GRADIENTS} is {loose[0].tolerance:.2g}, {TOO_WIDE}" if loose else ""


def list_remarks(run: Both, answer: ComparedValue | None, dx: np.ndarray | None) -> Iterator[str]:
    """Yield what somebody who relies on an agreement should know."""
    ours = our_answers(run.net, run.ours.values)
    given = None if run.answer is None else run.answer.array.shape
    if answer is not None and answer.ok and given != answer.shape:
        yield f"the peer's answer of shape {given} is read as {answer.shape}"
    if answer is not None and answer.ok and len(ours) > 1:
        yield from _describe_end(run, ours, answer)
    if answer is not None and answer.ok and _is_constant(run, answer):
        yield f"{run.net.name} gives another input the same answer, so that agreement says little"
    if dx is not None and not dx.any():
        yield "the gradient at the input is zero everywhere, so that its agreement says nothing"


def _describe_end(run: Both, ours: dict[str, Value], answer: ComparedValue) -> Iterator[str]:
    """Say which of our answers was compared: a softmax at the end hides the scores."""
    theirs = run.answer
    assert theirs is not None
    what = min(ours, key=lambda name: distance(ours[name].array, theirs))
    if what == "the scores":
        yield f"the peer answers with the scores, and {run.net.name} ends in a softmax of them"
        return
    yield f"the answers are {what.removeprefix('the ')}"
    array = ours[what].array
    if what == "the probabilities" and bool((array.max(axis=1) > 1 - SATURATED).all()):
        yield "they are 0 and 1 but for rounding, which says little about the scores"


def _is_constant(run: Both, answer: ComparedValue) -> bool:
    """Return whether our answer to another input is the same within the tolerance."""
    *_, ours = our_answers(run.net, run.ours.values).values()
    try:
        other = run.net.forward(0.5 * np.flip(run.x, axis=-1) - 1, allow_nonfinite=True)
    except MinicnnError:
        return False
    return relative_error(ours.array, other.reshape(ours.array.shape)) <= answer.tolerance


def explain_answer(run: Both) -> str:
    """Return how the peer's answer, another than ours, is made of ours, or "" where no simple rule makes it."""
    assert run.answer is not None
    theirs = run.answer.array
    for what, value in our_answers(run.net, run.exact.values).items():
        if words := describe_answer(value.array, theirs, what):
            return words
    for name, value in run.ours.values.items():
        # only what is the same all over: a part of a large map would be looked for at every place of it
        if value.array.size == theirs.size and describe_answer(value.array, theirs, name) == name:
            return f"what layer {name} gives"
    for words, x in _change_input(run.x) if run.peer.x is None else ():
        if describe_answer(run.net.forward(x.astype(np.float32), allow_nonfinite=True), theirs, words) == words:
            return f"ours to {words}"
    return ""


def _change_input(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield inputs that a program which prepares its own makes of x, in words and as arrays."""
    yield "the input divided by 255", x / 255
    yield "255 times the input", 255 * x
    if x.ndim == 4 and x.shape[1] > 1:
        yield "the input with its channels in reverse order", x[:, ::-1]
    if x.ndim == 4 and x.shape[1] == 3:
        mean, std = IMAGENET
        yield "the input less ImageNet's mean, over its deviation", (x - mean) / std
    if x.ndim == 4 and x.shape[2] == x.shape[3]:
        yield "the input with rows and columns exchanged", x.swapaxes(2, 3)
