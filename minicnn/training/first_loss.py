"""The first loss of a network that was drawn anew, which says whether it was drawn and fed as it should be."""

from __future__ import annotations

from math import log

__all__ = ["explain_first_loss"]

# times ln K: scores that vary with a standard deviation of s have a first loss of about ln K + s^2 / 2
LOW, HIGH = 0.5, 1.75


def explain_first_loss(loss: float, num_classes: int) -> str | None:
    """Say what a first loss far from ln K means; None where it is from 0.5 to 1.75 times that, as it should be.

    A network that knows nothing gives each of K classes 1 / K. Its cross-entropy is ln K, whatever the targets are
    that add up to one: label smoothing and class weights change nothing.

    Parameters
    ----------
    loss : float, of the first batch, before the first step
    num_classes : int, K, 2 or more

    Examples
    --------
    >>> explain_first_loss(2.4, 10) is None
    True
    >>> explain_first_loss(31.0, 10).partition(": ")[0]
    'the first loss is 31, 13 times ln 10'

    """
    times = loss / log(num_classes)
    if LOW <= times <= HIGH:
        return None
    what = f"the first loss is {loss:.3g}, {times:.2g} times ln {num_classes}"
    if times < LOW:
        return f"{what}: right before anything is learnt; nearly all images are of one class, or show what it is"
    return (
        f"{what}: the scores vary too widely before anything is learnt; the weights were drawn too large, or mean "
        "and std of the preprocessing are wrong"
    )
