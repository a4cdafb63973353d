"""From a saliency map to a mask and a box, with every setting in the reader's hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.localisation.seeded_cut import MaskSettings, saliency_seeds
from minicnn.explain.saliency import choose_named, saliencies
from minicnn.explorer.answers import png
from minicnn.explorer.live.crops import map_size
from minicnn.explorer.sessions import Session
from minicnn.images import load_image
from minicnn.segmentation import colour_model
from minicnn.segmentation.components import bounding_box, largest_component
from minicnn.segmentation.graph_cut import segment
from minicnn.service.pictures import open_picture

__all__ = ["cut", "draw_strokes"]

LONGEST = 240  # pixels of the picture that is cut


class Maps:
    """The saliency maps of a picture that were made so far, for sliders that need no new one."""

    def __init__(self, session: Session):
        self.session, self._maps = session, dict[int, np.ndarray]()
        picture = load_image(open_picture(session.data, session.pixels))
        self.size = map_size((picture.height, picture.width), LONGEST)
        self.picture = picture.resize(self.size[::-1])

    def of(self, target: int) -> np.ndarray:
        """Return the map of a class, the mean of ten crops."""
        if target not in self._maps:
            (map,) = saliencies(
                self.session.net,
                open_picture(self.session.data, self.session.pixels),
                choose_named(self.session.net, [target]),
            )
            self._maps[target] = map.placed.at(self.size)
        return self._maps[target]


def cut(maps: Maps, target: int, settings: MaskSettings, strokes: dict[str, Any]) -> dict[str, Any]:
    """Return seeds, mask and box; strokes are hard constraints, seeds of the map are not.

    Raises
    ------
    MinicnnError
        If the map is constant and there are no strokes.

    """
    map = maps.of(target)
    drawn = [draw_strokes(strokes.get(side, []), maps.size) for side in ("object", "background")]
    both = drawn[0] & drawn[1]
    drawn = [drawn[0], drawn[1] & ~both]
    foreground, background = saliency_seeds(map, settings)
    foreground, background = (foreground | drawn[0]) & ~drawn[1], (background | drawn[1]) & ~drawn[0]
    fit = partial(partial, colour_model.fit, floor=settings.variance_floor)
    # what is drawn is certain: a prior of 0 or 1, with a weight that no colour outweighs
    prior = np.full(maps.size, 0.5)
    prior[drawn[0]], prior[drawn[1]] = 1.0, 0.0
    mask = segment(
        np.asarray(maps.picture),
        foreground,
        background,
        model=(fit(components=settings.components), fit(components=settings.background_components)),
        gamma=settings.gamma,
        hard=False,
        prior=prior if drawn[0].any() or drawn[1].any() else None,
        prior_weight=1e4,
    )
    if not mask.any():
        raise MinicnnError("the cut leaves no object; lower the threshold or draw a stroke on it")
    # a stroke says that there is object elsewhere too
    main = mask if drawn[0].any() else largest_component(mask)
    box = bounding_box(main)
    return {
        "size": list(maps.size),
        "picture": png(np.asarray(maps.picture)),
        "mask": png(np.where(main, 255, 0).astype(np.uint8)),
        "foreground": png(np.where(foreground, 255, 0).astype(np.uint8)),
        "background": png(np.where(background, 255, 0).astype(np.uint8)),
        "box": [int(edge) for edge in box],
        "share": float(main.mean()),
    }


def draw_strokes(strokes: Any, size: tuple[int, int]) -> np.ndarray:
    """Return where strokes of discs were drawn, bool (H, W).

    Parameters
    ----------
    strokes : list of (x, y, radius), in parts of the width
    size : (H, W)

    Raises
    ------
    MinicnnError
        If they are anything else.

    Examples
    --------
    >>> draw_strokes([[0.5, 0.5, 0.2]], (4, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]

    """
    height, width = size
    canvas = np.zeros(size, bool)
    try:
        discs = np.asarray(strokes, np.float64).reshape(-1, 3)
    except (TypeError, ValueError):
        raise MinicnnError("strokes: expected a list of [x, y, radius], in parts of the picture's width") from None
    if len(discs) > 5000 or not np.isfinite(discs).all():
        raise MinicnnError("strokes: expected at most 5,000 discs of finite numbers")
    rows, columns = np.mgrid[:height, :width] + 0.5
    for x, y, radius in discs * width:
        canvas |= (columns - x) ** 2 + (rows - y) ** 2 <= max(radius, 0.71) ** 2
    return canvas
