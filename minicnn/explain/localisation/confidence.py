"""How often a box that the cuts agree on so much is right."""

from __future__ import annotations

import numpy as np

__all__ = ["box_confidence"]

OFFSET, SLOPE = 0.0, 0.0


def box_confidence(agreement: float) -> float:
    """Share of such boxes that had an intersection over union of at least 0.5 with a true one."""
    return float(1 / (1 + np.exp(-(OFFSET + SLOPE * agreement))))
