"""A map of later work as a figure: the photograph, the map, the map with its sign, the overlay; all settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.figures import provenance
from minicnn.figures.explanation import name_of
from minicnn.images import load_image
from minicnn.report.colour_map import colour_map, normalise
from minicnn.report.panels import overlay, panels, save_png

__all__ = ["write_attribution"]


def write_attribution(path: Path, image: Any, found: Any, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Write the figure of an ``Attribution`` as a PNG file, and return what it shows as plain values.

    Parameters
    ----------
    path : Path of the file
    image : path, PIL.Image or uint8 array of shape (H, W, 3)
    found : ``Attribution``
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    photograph, strength = np.asarray(load_image(image)), normalise(found.map)
    settings = {"method": found.method, "crops": found.crops, **found.settings}
    figure = panels(
        [
            (photograph, Path(str(image)).name if isinstance(image, str | Path) else "image"),
            (colour_map(strength), found.method),
            (colour_map(normalise(found.signed), "signed"), "for the class in orange, against it in blue"),
            (overlay(photograph, strength), "overlay"),
        ],
        title=f"{name_of(found)}: score {found.score:.2f}, probability {found.probability:.1%}",
        subtitle=", ".join([origin["name"], *_words(settings), *_words(found.facts)]),
    )
    numbers = {"score": found.score, "probability": found.probability, **found.facts}
    record = provenance.record("attribution", origin, [image], found, settings, {"map": found.map}, **numbers)
    save_png(figure, path, provenance.metadata(record, figure))
    named = {"image": str(image), "net": origin["name"], "target": found.target, "label": found.label}
    return {**named, **numbers, **settings, "figure": str(path)}


def _words(facts: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}" for name, value in facts.items()
    ]
