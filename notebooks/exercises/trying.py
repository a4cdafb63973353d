"""Trying an answer: a sentence whether it is right, and for which case it is not."""

import traceback

import numpy as np


def judge(answer, cases, expected, say):
    """Call an answer with each case's arguments and print what was found; return whether it is right.

    Parameters
    ----------
    answer : function
    cases : iterable of tuples of arguments
    expected : function of the same arguments
    say : function of the same arguments, the case in words

    """
    for arguments in cases:
        given = [np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments]
        try:
            got = answer(*given)
        except Exception:
            return _tell(f"With {say(*arguments)} it stops:\n{traceback.format_exc(limit=-1)}")
        if got is None or got is Ellipsis:
            return _tell("Not written yet: it returns nothing.")
        if any(
            isinstance(a, np.ndarray) and not np.array_equal(a, b) for a, b in zip(arguments, given, strict=True)
        ):
            return _tell(f"With {say(*arguments)} it changes its own arguments.")
        if problem := compare(got, expected(*arguments)):
            return _tell(f"With {say(*arguments)} {problem}.")
    return _tell("Right.", True)


def judge_parts(answer, cases, expected, say):
    """Judge an answer that returns several arrays, one after the other; ``expected`` is {name: function}."""
    cases = list(cases)

    def part(i):
        def one(*arguments):
            whole = answer(*arguments)
            return whole if whole is None or whole is Ellipsis else whole[i]

        return one

    for i, (name, function) in enumerate(expected.items()):
        print(f"{name}: ", end="")
        if not judge(part(i), cases, function, say):
            return False
    return True


def compare(got, wanted):
    """Return what is wrong with an array, in words, or an empty string; rounding of float64 is not."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape:
        return f"the shape is {got.shape}, expected {wanted.shape}"
    if not np.issubdtype(got.dtype, np.floating):
        return f"the numbers are of type {got.dtype}, expected float64"
    wrong = ~np.isclose(got, wanted, rtol=1e-9, atol=1e-9 * max(np.abs(wanted).max(), 1))
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    example = f"at {place} {got[place]:.6g}, expected {wanted[place]:.6g}"
    return f"{wrong.sum()} of {wrong.size} numbers are wrong: {example}"


def _tell(sentence, right=False):
    print(sentence)
    return right
