"""Learning rates: a function of the epoch, in fractions of one."""

from __future__ import annotations

from math import cos, pi

from minicnn.training.recipe import Schedule

__all__ = ["learning_rate"]


def learning_rate(schedule: Schedule, peak: float, epoch: float, epochs: int) -> float:
    """Return the learning rate ``epoch`` epochs after the start, a fraction of one included.

    It rises from 0 to ``peak`` over the first ``warm_up`` epochs, and then follows what the schedule names:
    "constant"; "step", times ``gamma`` at each of the ``milestones``; "cosine", down to ``final`` times the peak;
    or "one_cycle", up from peak / 25 and down again, each half a cosine, the rise lasting ``warm_up``.

    Parameters
    ----------
    schedule : Schedule
    peak : float
    epoch : float, 0 to ``epochs``
    epochs : int, how many there will be

    References
    ----------
    Goyal et al. 2017, section 2.2 (warm-up); Loshchilov, Hutter 2017, equation 5 (cosine); Smith, Topin 2018.

    Examples
    --------
    >>> [round(learning_rate(Schedule("cosine", warm_up=1), 0.1, epoch, 5), 4) for epoch in (0.5, 1, 3, 5)]
    [0.05, 0.1, 0.05, 0.0]
    >>> [round(learning_rate(Schedule("step", milestones=(2, 3)), 0.1, epoch, 5), 4) for epoch in (0, 2, 3)]
    [0.1, 0.01, 0.001]

    """
    rising = epoch / schedule.warm_up if schedule.warm_up else 1.0
    if schedule.name == "one_cycle":
        if rising < 1:
            return _between(peak / 25, peak, rising)
        return _between(peak, schedule.final * peak, (epoch - schedule.warm_up) / (epochs - schedule.warm_up))
    factor = min(rising, 1.0)
    if schedule.name == "step":
        # a milestone that is reached counts
        factor *= schedule.gamma ** sum(epoch >= milestone for milestone in schedule.milestones)
    if schedule.name == "cosine" and rising >= 1:
        return _between(peak, schedule.final * peak, (epoch - schedule.warm_up) / (epochs - schedule.warm_up))
    return peak * factor


def _between(start: float, end: float, share: float) -> float:
    """Go from ``start`` to ``end`` along half a cosine, which is flat at both."""
    return end + (start - end) * (1 + cos(pi * min(max(share, 0.0), 1.0))) / 2
