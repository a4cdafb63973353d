"""Figure "localisation": one detection: the photograph with its box, the map, the seeds, the mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import explain
from minicnn._utils.types import ImageLike
from minicnn.explain.localise import Detection, MaskSettings, get_localisation_method, saliency_seeds
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed, class_name
from minicnn.images import load_image
from minicnn.network import Network
from minicnn.report import colour_map, draw_box, normalise, panels, save_png

__all__ = ["recompute", "write_detection"]

OBJECT, BACKGROUND = (255, 140, 0), (0, 114, 255)


def write_detection(
    path: Path, image: ImageLike, detection: Detection, origin: Mapping[str, Any], settings: MaskSettings
) -> dict[str, Any]:
    """Write the figure of a detection as a PNG file, and return what it is as plain values.

    Parameters
    ----------
    path : Path of the file
    image : what was looked at
    detection : Detection in it
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    settings : of the cut

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    photograph, saliency = np.asarray(load_image(image)), detection.saliency
    name = class_name(detection)
    numbers = {"score": detection.score, "probability": detection.probability}
    mask_pixels = int(detection.mask.sum())
    how = {"rule": saliency.rule, "crops": saliency.crops, "method": detection.method}
    seeds = _draw_seeds(photograph, *saliency_seeds(saliency.map, settings))
    figure = panels(
        [
            (draw_box(photograph, detection.box, label=name), f"box {detection.box}"),
            (colour_map(normalise(saliency.map)), "saliency map"),
            (seeds, "seeds: object orange, background blue"),
            (_cut_out(photograph, detection.mask), "mask"),
        ],
        title=f"{name}: score {detection.score:.2f}, probability {detection.probability:.1%}",
        subtitle=f"{origin['name']}, method: {detection.method}, rule: {saliency.rule}, crops: {saliency.crops}",
    )
    method = get_localisation_method(detection.method)
    record = provenance.make_record(
        "localisation",
        origin,
        [image],
        detection,
        {**how, "settings": asdict(settings)},
        _name_arrays(detection),
        **numbers,
        box=list(detection.box),
        mask_pixels=mask_pixels,
        samples=method.samples,
        noise=method.noise,
    )
    save_png(figure, path, provenance.metadata(record, figure))
    return {
        "target": detection.target,
        "label": detection.label,
        **numbers,
        "box": list(detection.box),
        "mask_pixels": mask_pixels,
        **how,
        "settings": asdict(settings),
        "figure": str(path),
    }


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Localise the object that a record describes."""
    how = dict(record["settings"])
    settings = MaskSettings(**how.pop("settings"))
    (detection,) = explain.localise(net, images[0], [record["class"]["target"]], settings=settings, **how)
    facts = {name: getattr(detection, name) for name in ("label", "score", "probability", "box")}
    return Recomputed(_name_arrays(detection), facts)


def _name_arrays(detection: Detection) -> dict[str, np.ndarray]:
    return {"map": detection.saliency.map, "mask": detection.mask}


def _draw_seeds(photograph: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Photograph in grey with the seeds' colours over it."""
    # in grey, so that the seeds are the only colours
    painted = np.repeat(photograph.mean(axis=2, keepdims=True), 3, axis=2)
    for seeds, colour in ((foreground, OBJECT), (background, BACKGROUND)):
        painted[seeds] = 0.5 * painted[seeds] + 0.5 * np.array(colour)
    return painted.astype(np.uint8)


def _cut_out(photograph: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Photograph where the mask is set, washed out elsewhere."""
    # a fifth of the contrast, on white; in int, since uint8 would wrap around
    return np.where(mask[..., None], photograph, 255 - (255 - photograph.astype(int)) // 5).astype(np.uint8)
