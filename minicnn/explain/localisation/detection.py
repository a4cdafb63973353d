"""A localised object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from minicnn.explain.localisation.confidence import LEAST_CONFIDENCE
from minicnn.explain.saliency import Saliency
from minicnn.segmentation.components import bounding_box

__all__ = ["Box", "Detection"]

Box: TypeAlias = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax in pixels, the last two exclusive


@dataclass(frozen=True, eq=False)
class Detection:
    """A localised object.

    Attributes
    ----------
    target, label, score, probability : its class, as in ``Saliency``
    box : (xmin, ymin, xmax, ymax) in pixels of the original image, the last two exclusive
    mask : bool array of shape (H, W)
    saliency : Saliency, the map it comes from
    method : str, by name
    confidence : float in [0, 1], or None
        How often a box of this kind had an intersection over union of at least 0.5 with a true one, measured on
        photographs with the right class given; the method "consensus" alone says it.
    agreement : float in [0, 1], or None; of "consensus": mean intersection over union with the candidates
    candidates : of "consensus": the boxes of all its cuts
    instances : of "consensus": boxes of what may be several objects of the class, this one first
    thresholded : bool, of "consensus": no cut gave a mask, and the map's threshold stands in

    See Also
    --------
    minicnn.explain.localise : what returns it, with an example

    """

    target: int
    label: str | None
    score: float
    probability: float
    box: Box
    mask: np.ndarray
    saliency: Saliency
    method: str = "paper"
    confidence: float | None = None
    agreement: float | None = None
    candidates: tuple[Box, ...] = ()
    instances: tuple[Box, ...] = ()
    thresholded: bool = False

    @property
    def view_count(self) -> int:
        """Over how many views score and probability are means."""
        return self.saliency.view_count

    @property
    def localised(self) -> bool:
        """Whether the confidence, where there is one, is at least 0.4; a box of less is a guess."""
        return self.confidence is None or self.confidence >= LEAST_CONFIDENCE

    @classmethod
    def of(cls, saliency: Saliency, mask: np.ndarray, method: str) -> Detection:
        """Return the detection of a mask (H, W); an empty mask has the box (0, 0, 0, 0)."""
        return cls(
            target=saliency.target,
            label=saliency.label,
            score=saliency.score,
            probability=saliency.probability,
            box=bounding_box(mask) if mask.any() else (0, 0, 0, 0),
            mask=mask,
            saliency=saliency,
            method=method,
        )
