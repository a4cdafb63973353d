"""One explanation as a figure: the photograph, the map, the overlay; class, score and rule in words."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import ImageError
from minicnn.images import load_image
from minicnn.report.colour import colour_map, normalise
from minicnn.report.figure import overlay, panels, save_png

__all__ = ["explanation_record", "write_class_model", "write_explanation"]


def explanation_record(found: Any, image: Any, net: str, of: str = "score") -> dict[str, Any]:
    """Everything that says what a saliency map is of, as plain values.

    Parameters
    ----------
    found : object with target, label, score, probability, rule and crops, such as a ``Saliency``
    image : what the map was made from; its name is kept
    net : str, the network's name
    of : "score" or "probability"

    """
    keys = ("target", "label", "score", "probability", "rule", "crops")
    return {"image": str(image), "net": net, **{key: getattr(found, key) for key in keys}, "of": of}


def write_explanation(path: Path, image: Any, map: np.ndarray, record: dict[str, Any]) -> None:
    """Write photograph, map and overlay, side by side, as one PNG file.

    Parameters
    ----------
    path : Path of the file
    image : path, PIL.Image or uint8 array of shape (H, W, 3)
    map : array of shape (H, W), not negative
    record : as ``explanation_record`` makes it; printed in the title and kept as PNG metadata

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    photograph, strength = np.asarray(load_image(image)), normalise(map)
    name = f"class {record['target']}" if record["label"] is None else record["label"]
    figure = panels(
        [
            (photograph, Path(record["image"]).name),
            (colour_map(strength), "saliency map"),
            (overlay(photograph, strength), "overlay"),
        ],
        title=f"{name}: score {record['score']:.2f}, probability {record['probability']:.1%}",
        subtitle=f"{record['net']}, rule: {record['rule']}, of: {record['of']}, crops: {record['crops']}",
    )
    save_png(figure, path, {key: str(value) for key, value in record.items()})


def write_class_model(path: Path, found: Any, net: str, settings: Any, seed: int) -> dict[str, Any]:
    """Write a class model as a PNG file, and return what it is as plain values.

    Parameters
    ----------
    path : Path of the file
    found : ``ClassModel`` with an image
    net : str, the network's name
    settings : dataclass of how it was climbed, kept as PNG metadata with the seed
    seed : int

    Raises
    ------
    ImageError
        If there is no image, or the file can't be written; nothing is left behind.

    """
    if found.image is None:
        raise ImageError(f"{net}: has no preprocessing that would turn its input into a picture")
    name = f"class {found.target}" if found.label is None else found.label
    record = {
        **{key: getattr(found, key) for key in ("target", "label", "probability", "stopped")},
        "net": net,
        "score": found.scores[-1],
        "settings": asdict(settings) | {"seed": seed},
        "figure": str(path),
    }
    side = max(1, 360 // max(found.image.shape[:2]))
    figure = panels(
        [
            (
                found.image.repeat(side, 0).repeat(side, 1),
                f"score {record['score']:.1f} after {settings.steps} steps",
            )
        ],
        title=name,
        subtitle=f"class model of {net}",
    )
    save_png(figure, path, {key: str(value) for key, value in record.items()})
    return record
