"""One explanation as a figure: the photograph, the map, the overlay; class, score and rule in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import ImageError
from minicnn.figures import provenance
from minicnn.images import load_image
from minicnn.report.colour_map import colour_map, normalise
from minicnn.report.contact_sheet import contact_sheet
from minicnn.report.curve import curve
from minicnn.report.panels import overlay, panels, save_png

__all__ = ["name_of", "write_class_model", "write_explanation"]


def write_explanation(
    path: Path, image: Any, found: Any, origin: Mapping[str, Any], of: str = "score"
) -> dict[str, Any]:
    """Write photograph, map and overlay, side by side, as one PNG file; return what it shows as plain values.

    Parameters
    ----------
    path : Path of the file
    image : path, PIL.Image or uint8 array of shape (H, W, 3)
    found : ``Saliency``
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    of : "score" or "probability", what was differentiated

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    photograph, strength = np.asarray(load_image(image)), normalise(found.map)
    settings = {"rule": found.rule, "crops": found.crops, "of": of}
    figure = panels(
        [
            (photograph, Path(str(image)).name if isinstance(image, str | Path) else "image"),
            (colour_map(strength), "saliency map"),
            (overlay(photograph, strength), "overlay"),
        ],
        title=f"{name_of(found)}: score {found.score:.2f}, probability {found.probability:.1%}",
        subtitle=f"{origin['name']}, rule: {found.rule}, of: {of}, crops: {found.crops}",
    )
    numbers = {"score": found.score, "probability": found.probability}
    record = provenance.record("saliency", origin, [image], found, settings, {"map": found.map}, **numbers)
    save_png(figure, path, provenance.metadata(record, figure))
    return {
        "image": str(image),
        "net": origin["name"],
        "target": found.target,
        "label": found.label,
        **numbers,
        **settings,
        "figure": str(path),
    }


def write_class_model(
    path: Path,
    found: Any,
    origin: Mapping[str, Any],
    seed: int,
    unit: Mapping[str, Any] | None = None,
    stimuli: Sequence[Any] = (),
    searched: int = 0,
) -> dict[str, Any]:
    """Write a class model and how it was climbed to as a PNG file, and return what it is as plain values.

    Parameters
    ----------
    path : Path of the file
    found : ``ClassModel`` with an image
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    seed : int
    unit : what ``maximise`` was given, {"layer", "unit", "constraint"}; None for a class
    stimuli : ``Stimulus`` es to show beneath, the strongest first
    searched : int, how many images those were found among

    Raises
    ------
    ImageError
        If there is no image, or the file can't be written; nothing is left behind.

    """
    if found.image is None:
        raise ImageError(f"{origin['name']}: has no preprocessing that would turn its input into a picture")
    climbed = asdict(found.settings) | {"seed": seed} | dict(unit or {})
    numbers = {"score": found.scores[-1], "probability": found.probability, "stopped": found.stopped}
    shown = {"images": [str(s.image) for s in stimuli], "values": [s.value for s in stimuli], "searched": searched}
    more = {"stimuli": shown} if stimuli else {}
    figure = _class_model_figure(found, origin, unit, stimuli, searched)
    images, named_class = [s.image for s in stimuli], None if unit else found
    said = numbers | ({"values": shown["values"], "searched": searched} if stimuli else {})
    record = provenance.record("class-model", origin, images, named_class, climbed, {"x": found.x}, **said)
    save_png(figure, path, provenance.metadata(record, figure))
    named = {"target": found.target, "label": found.label, "net": origin["name"], **dict(unit or {})}
    history = {"scores": found.scores, "gradient_norms": found.gradient_norms}
    return {**named, **numbers, "settings": climbed, "figure": str(path), **history, **more}


def _class_model_figure(found, origin, unit, stimuli, searched):
    side = max(1, 360 // max(found.image.shape[:2]))
    climb = [
        (found.image.repeat(side, 0).repeat(side, 1), "the mean added"),
        (curve(found.scores), "score" if unit is None else "value"),
        (curve(found.gradient_norms), "norm of its gradient"),
    ]
    ball = unit is not None and unit["constraint"] == "l2_ball"
    kept = f"in the ball of radius {found.settings.radius:.3g}" if ball else f"lambda {found.settings.l2:.3g}"
    words = {
        "title": _title(found, unit),
        "subtitle": f"{origin['name']}, {'class model' if unit is None else 'unit'}, {kept}, {found.stopped}"
        + _later(found.settings.non_paper_settings()),
    }
    if not stimuli:
        return panels(climb, **words)
    pictures = [(s.view, f"{s.value:.4g}: {Path(str(s.image)).name}") for s in stimuli]
    rows = [pictures[i : i + 3] for i in range(0, len(pictures), 3)]
    heading = f"Top stimuli: of {searched} images, those of largest {climb[1][1]}"
    return contact_sheet([climb, *rows], ("", heading), cell=260, **words)


def _later(settings: Mapping[str, Any]) -> str:
    said = [name.replace("_", " ") + ("" if value is True else f" {value:g}") for name, value in settings.items()]
    return f"; later than the paper: {', '.join(said)}" if said else ""


def _title(found: Any, unit: Mapping[str, Any] | None) -> str:
    if unit is not None:
        return f"{unit['layer'] or 'scores'}, unit {unit['unit']}: {found.scores[-1]:.4g}"
    return f"{name_of(found)}: score {found.scores[-1]:.1f}, probability {found.probability:.1%}"


def name_of(found: Any) -> str:
    """Return the label of what was found, or its number where the network has no labels."""
    return f"class {found.target}" if found.label is None else found.label
