"""What another program's answer is, in plain words, where it is not ours: its softmax, other classes, twice it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minicnn.kernels.reference import softmax

__all__ = ["describe_answer"]

CLOSE = 1e-3  # of the largest value: words for people, which decide nothing

Function = Callable[[np.ndarray], np.ndarray]


def describe_answer(ours: np.ndarray, theirs: np.ndarray, what: str = "the scores") -> str:
    """Return how another program made its answer of ours, or "" where no simple rule makes it.

    Parameters
    ----------
    ours : array of shape (N, ...)
    theirs : array of any shape and dtype
    what : what ours is called

    Examples
    --------
    >>> scores = np.array([[1.0, 4.0, 2.5], [0.5, -1.0, 2.0]])
    >>> describe_answer(scores, 2 * scores)
    '2 times the scores'
    >>> describe_answer(scores, scores[:, [0, 2, 1]])
    'the scores with classes 1 and 2 exchanged'
    >>> describe_answer(scores, scores.argmax(axis=1))
    'the number of the best class'

    """
    if theirs.size == 0 or not np.isfinite(theirs).all():
        return "not a finite number everywhere" if theirs.size else "empty"
    if theirs.ndim == 0 or len(theirs) != len(ours) or not np.isfinite(ours).all():
        return ""
    scores, answer = (a.reshape(len(a), -1).astype(np.float64) for a in (ours, theirs))
    if np.ptp(answer) == 0 and answer.size > 1 and np.ptp(scores) != 0:
        return f"{answer.flat[0]:.4g} throughout"
    with np.errstate(all="ignore"):
        made = {name.format(what): function(scores) for name, function in _FUNCTIONS.items()}
    made = {name: array for name, array in made.items() if np.isfinite(array).all()}
    # the simplest first: a logarithm of a softmax is the scores less a number too, where there is one image
    for relate in (_describe_equal, _describe_order, _describe_part):
        for name, array in made.items():
            if words := relate(array, answer, name):
                return words
    return (
        _describe_ranking(scores, answer)
        or _describe_temperature(scores, answer, what)
        or _describe_line(scores, answer, what)
    )


# made (N, K) is a function of our scores, answer (N, M) the other program's


def _describe_equal(made: np.ndarray, answer: np.ndarray, what: str) -> str:
    return what if answer.shape == made.shape and _agree(made, answer) else ""


def _describe_order(made: np.ndarray, answer: np.ndarray, what: str) -> str:
    if answer.shape != made.shape:
        return ""
    order = np.empty(made.shape[1], int)
    # the class with the k-th of ours is that with the k-th of theirs
    order[np.argsort(answer[0], kind="stable")] = np.argsort(made[0], kind="stable")
    if not _agree(made[:, order], answer):
        return ""
    moved = np.flatnonzero(order != np.arange(len(order)))
    if (order == np.arange(len(order))[::-1]).all() and len(order) > 2:
        return f"{what} with classes in reverse order"
    if len(moved) == 2:
        return f"{what} with classes {moved[0]} and {moved[1]} exchanged"
    return f"{what} with {len(moved)} of {len(order)} classes in another order"


def _describe_part(made: np.ndarray, answer: np.ndarray, what: str) -> str:
    fewer, more = sorted((made, answer), key=lambda array: array.shape[1])
    width, total = fewer.shape[1], more.shape[1]
    for start in range(total - width + 1) if 1 < width < total else ():
        if _agree(more[:, start : start + width], fewer):
            if fewer is answer:
                return f"{what}, of classes {start} to {start + width - 1} of {total} alone"
            return f"{what} behind {start} and before {total - width - start} other classes"
    return ""


def _describe_line(made: np.ndarray, answer: np.ndarray, what: str) -> str:
    for factor, shift in _fit_lines(made.ravel(), answer.ravel()) if answer.shape == made.shape else ():
        if factor != 0 and _agree(factor * made + shift, answer):
            times = "" if abs(factor - 1) < CLOSE else f"{factor:.4g} times "
            plus = f" {'plus' if shift > 0 else 'minus'} {abs(shift):.4g}"
            return f"{times}{what}{'' if abs(shift) < CLOSE * np.abs(answer).max() else plus}"
    return ""


def _fit_lines(made: np.ndarray, answer: np.ndarray) -> Iterator[tuple[float, float]]:
    """Yield factor and shift of answer = factor * made, and of answer = factor * made + shift: least squares."""
    if made.any():
        yield float(made @ answer / (made @ made)), 0.0
    # two numbers lie on a line, whatever they are
    if made.size > 2 and np.ptp(made) > 0:
        factor, shift = np.polyfit(made, answer, 1)
        yield float(factor), float(shift)


def _describe_ranking(scores: np.ndarray, answer: np.ndarray) -> str:
    """Say that an answer is a class, or some of them, or their scores."""
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, : answer.shape[1]]
    many = answer.shape[1] > 1
    if ranked.shape == answer.shape and (ranked == answer).all():
        return f"the numbers of the best {answer.shape[1]} classes" if many else "the number of the best class"
    if ranked.shape == answer.shape and _agree(np.take_along_axis(scores, ranked, 1), answer):
        return f"the scores of the best {answer.shape[1]} classes" if many else "the score of the best class"
    if answer.shape == scores.shape and (answer == (ranked[:, :1] == np.arange(scores.shape[1]))).all():
        return "1 for the best class and 0 for all others"
    return ""


def _describe_temperature(scores: np.ndarray, answer: np.ndarray, what: str) -> str:
    """Say that an answer is softmax(scores / T)."""
    if answer.shape != scores.shape or answer.shape[1] < 3 or answer.min() <= 0 or not _agree(answer.sum(1), 1.0):
        return ""
    logits = np.log(answer)
    slope = float(np.polyfit((scores - scores.mean(1, keepdims=True)).ravel(), logits.ravel(), 1)[0])
    if slope > 0 and _agree(softmax(slope * scores), answer):
        return f"the softmax of {what} divided by {1 / slope:.4g} (a temperature)"
    return ""


def _agree(a: np.ndarray | float, b: np.ndarray | float) -> bool:
    return bool(np.abs(np.subtract(a, b)).max() <= CLOSE * max(np.abs(a).max(), np.abs(b).max()))


_FUNCTIONS: dict[str, Function] = {
    "{}": lambda s: s,
    "the softmax of {}": softmax,
    "the logarithm of the softmax of {}": lambda s: s - np.logaddexp.reduce(s, axis=1, keepdims=True),
    "the softmax over the batch of {}": lambda s: softmax(s.T).T,
    "the sigmoid of {}": lambda s: 1 / (1 + np.exp(-s)),
    "the hyperbolic tangent of {}": np.tanh,
    "{} without what is negative": lambda s: np.maximum(s, 0),
    "the sizes of {} without their signs": np.abs,
    "the exponential of {}": np.exp,
    "{} divided by their length": lambda s: s / np.linalg.norm(s, axis=1, keepdims=True),
    "{} less their mean": lambda s: s - s.mean(axis=1, keepdims=True),
}
