"""What kinds of figures share: the name of a class, the photograph, and what comes of computing a figure anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.colour_names import BOTH_SIGNS
from minicnn._utils.counted import counted
from minicnn._utils.types import ImageLike
from minicnn.images import PlacedMaps, load_image
from minicnn.images.reduced import reduce_picture, reduced_size
from minicnn.report import draw_box, hatch
from minicnn.report.drawing import signed_map

__all__ = [
    "Recomputed",
    "class_name",
    "draw_boxes",
    "draw_map",
    "draw_photograph",
    "map_panel",
    "scale_box",
    "score_text",
    "sign_words",
]


class Recomputed(NamedTuple):
    """What a record describes, computed anew.

    Attributes
    ----------
    arrays : the maps that the figure shows, by their names in the record
    facts : what the figure says in words, by the names in the record's "result"; "label" is the class's

    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def draw_photograph(image: ImageLike) -> np.ndarray:
    """Return an image as uint8 (h, w, 3), with at most 2^20 pixels: a panel of a figure shows fewer."""
    return np.asarray(reduce_picture(load_image(image)))


def draw_boxes(
    image: ImageLike, boxes: Iterable[tuple[Sequence[float], Sequence[int]]]
) -> tuple[np.ndarray, float]:
    """Return `draw_photograph` with boxes, each in its colour, and by how much it is smaller than the image."""
    picture = load_image(image)
    drawing = np.asarray(reduce_picture(picture))
    scale = drawing.shape[1] / picture.width
    for box, colour in boxes:
        drawing = draw_box(drawing, scale_box(box, scale), colour)
    return drawing, scale


def scale_box(box: Sequence[float], scale: float) -> Sequence[float]:
    """Return a box in the pixels of a drawing: outwards, so that of the smallest one a pixel is left."""
    return box if scale == 1 else [*np.floor(np.multiply(box[:2], scale)), *np.ceil(np.multiply(box[2:], scale))]


def draw_map(placed: PlacedMaps) -> np.ndarray:
    """Return a map at the size of `draw_photograph`, float32 (h, w)."""
    return placed.at(reduced_size(placed.image_size))


def map_panel(colours: np.ndarray, placed: PlacedMaps, caption: str) -> tuple[np.ndarray, str]:
    """Return a panel of a map's colours (h, w, 3), hatched where no view looked, which its caption says."""
    seen = placed.seen((colours.shape[0], colours.shape[1]))
    if seen.all():
        return colours, caption
    return hatch(colours, ~seen), f"{caption}; hatched: not seen"


def sign_words(map: np.ndarray, positive: str, negative: str) -> str:
    """Return what the colours of a map with signs mean, of those that are in it.

    Examples
    --------
    >>> sign_words(np.array([[-1.0, 2.0]]), "for the class", "against it")
    'for the class in orange, against it in blue'
    >>> sign_words(np.array([[0.0, 2.0]]), "for the class", "against it")
    'for the class in orange'

    """
    below, above = BOTH_SIGNS[signed_map()]
    words = [f"{positive} in {above}"] if (map > 0).any() else []
    words += [f"{negative} in {below}"] if (map < 0).any() else []
    return ", ".join(words) or "zero everywhere"


def score_text(explanation: Any) -> str:
    """Return score and probability of a class, and over how many views they are means.

    Parameters
    ----------
    explanation : has ``score``, ``probability`` and ``view_count``, such as a Saliency or a Detection

    """
    views = counted(explanation.view_count, "view")
    return f"score {explanation.score:.2f}, probability {explanation.probability:.1%} ({views})"


def class_name(explanation: Any) -> str:
    """Return the label of the class that is explained, or its number where the network has no labels.

    Parameters
    ----------
    explanation : has ``target`` and ``label``, such as a Saliency or a Detection

    """
    return f"class {explanation.target}" if explanation.label is None else explanation.label
