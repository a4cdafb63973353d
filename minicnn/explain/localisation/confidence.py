"""How often a box that the cuts agree on so much is right."""

from __future__ import annotations

import numpy as np

__all__ = ["LEAST_CONFIDENCE", "box_confidence"]

# Logistic regression of "the box has an intersection over union of at least 0.5 with a true one" on the agreement:
# 80 photographs and two nets, EfficientNet-Lite0 and SqueezeNet 1.1, the right class given.
OFFSET, SLOPE = -3.13, 4.90
# Below it the answer is called a guess: agreement under 0.56.
LEAST_CONFIDENCE = 0.4


def box_confidence(agreement: float) -> float:
    """Share of such boxes that had an intersection over union of at least 0.5 with a true one, in [0, 1].

    p = 1 / (1 + exp(3.13 - 4.90 agreement)): 0.85 where all cuts give one box.  The agreement tells right boxes
    from wrong ones only weakly (docs/measurements/localisation.md), so the share is about the sort of box, not a
    judgement of this one.

    Parameters
    ----------
    agreement : float in [0, 1], mean intersection over union of the box with those of all cuts

    Examples
    --------
    >>> [round(box_confidence(agreement), 2) for agreement in (0.5, 0.8, 1.0)]
    [0.34, 0.69, 0.85]

    """
    return float(1 / (1 + np.exp(-(OFFSET + SLOPE * agreement))))
