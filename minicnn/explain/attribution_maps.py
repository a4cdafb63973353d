"""What a method of explanation returns: a map of each view's pixels, and the same with its sign."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["AttributionMaps", "max_abs_over_channels"]


class AttributionMaps(NamedTuple):
    """Maps of V views in the network's coordinates.

    Attributes
    ----------
    map : float array of shape (V, H, W), not negative: what is shown and ranked
    signed : float array of shape (V, H, W): positive speaks for the class, negative against it
    facts : dict of numbers that the method reports beside its maps

    """

    map: np.ndarray
    signed: np.ndarray
    facts: dict[str, float]

    @classmethod
    def from_gradient(cls, gradient: np.ndarray) -> AttributionMaps:
        """Return the largest |w| over the channels (paper, equation 3), and the sum, of w (V, C, H, W)."""
        return cls(max_abs_over_channels(gradient), gradient.sum(axis=1), {})

    @classmethod
    def from_contributions(cls, contributions: np.ndarray) -> AttributionMaps:
        """Return |sum over the channels|, and the sum, of the inputs' contributions (V, C, H, W) to a score."""
        # opposite signs in the channels of a pixel cancel: what counts is the pixel's share as a whole
        signed = contributions.sum(axis=1)
        return cls(np.abs(signed), signed, {})

    @classmethod
    def from_positive_part(cls, signed: np.ndarray) -> AttributionMaps:
        """Return the positive part, and all, of maps (V, H, W)."""
        return cls(np.maximum(signed, 0), signed, {})


def max_abs_over_channels(gradient: np.ndarray) -> np.ndarray:
    """Largest absolute value over the channels (paper, equation 3): (V, C, H, W) to (V, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([[[[1.0, -4.0]], [[-2.0, 3.0]]]])  # one view, two channels of 1 x 2 pixels
    >>> max_abs_over_channels(w).tolist()
    [[[2.0, 4.0]]]

    """
    return np.abs(gradient).max(axis=1)
