"""One detection as a figure: photograph with its box, map, seeds, mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.explain.localise import get_localisation_method
from minicnn.figures import provenance
from minicnn.figures.explanation import name_of
from minicnn.images import load_image
from minicnn.report.colour_map import colour_map, normalise
from minicnn.report.panels import draw_box, panels, save_png

__all__ = ["write_detection"]

OBJECT, GROUND = (255, 140, 0), (0, 114, 255)


def write_detection(
    path: Path,
    image: Any,
    found: Any,
    seeds: tuple[np.ndarray, np.ndarray],
    origin: Mapping[str, Any],
    settings: Any,
) -> dict[str, Any]:
    """Write the figure of a detection as a PNG file, and return what it is as plain values.

    Parameters
    ----------
    path : Path of the file
    image : what was looked at
    found : ``Detection``
    seeds : foreground and background, bool arrays of shape (H, W)
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    settings : dataclass, of the cut

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    photograph = np.asarray(load_image(image))
    name = name_of(found)
    record = {
        **{key: getattr(found, key) for key in ("target", "label", "score", "probability")},
        "box": list(found.box),
        "mask_pixels": int(found.mask.sum()),
        "rule": found.saliency.rule,
        "crops": found.saliency.crops,
        "method": found.method,
        "settings": asdict(settings),
        "figure": str(path),
    }
    figure = panels(
        [
            (draw_box(photograph, found.box, label=name), f"box {found.box}"),
            (colour_map(normalise(found.saliency.map)), "saliency map"),
            (_painted(photograph, *seeds), "seeds: object orange, background blue"),
            (_cut_out(photograph, found.mask), "mask"),
        ],
        title=f"{name}: score {found.score:.2f}, probability {found.probability:.1%}",
        subtitle=", ".join([origin["name"], *(f"{key}: {record[key]}" for key in ("method", "rule", "crops"))]),
    )
    shown = {key: record[key] for key in ("score", "probability", "box", "mask_pixels")}
    shown |= {key: getattr(get_localisation_method(found.method), key) for key in ("samples", "noise")}
    how = {key: record[key] for key in ("rule", "crops", "method", "settings")}
    arrays = {"map": found.saliency.map, "mask": found.mask}
    kept = provenance.record("localisation", origin, [image], found, how, arrays, **shown)
    save_png(figure, path, provenance.metadata(kept, figure))
    return record


def _painted(photograph: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Photograph in grey with the seeds' colours over it."""
    painted = np.repeat(photograph.mean(axis=2, keepdims=True), 3, axis=2)
    for seeds, colour in ((foreground, OBJECT), (background, GROUND)):
        painted[seeds] = 0.5 * painted[seeds] + 0.5 * np.array(colour)
    return painted.astype(np.uint8)


def _cut_out(photograph: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Photograph where the mask is set, washed out elsewhere."""
    return np.where(mask[..., None], photograph, 255 - (255 - photograph.astype(int)) // 5).astype(np.uint8)
