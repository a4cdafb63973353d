"""Figure "localisation": one detection: the photograph with its box, the map, the seeds, the mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import explain
from minicnn._utils.types import ImageLike, PathLike
from minicnn.explain.localise import (
    ConsensusMethod,
    ConsensusSettings,
    Detection,
    MaskSettings,
    get_localisation_method,
    saliency_seeds,
)
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed, class_name, draw_map, draw_photograph, scale_box, score_text
from minicnn.network import Network
from minicnn.report import colour_map, draw_box, normalise, panels
from minicnn.segmentation.graph_cut import resize_mask

__all__ = ["recompute", "write_detection"]

OBJECT, BACKGROUND = (255, 140, 0), (0, 114, 255)


def write_detection(
    path: PathLike,
    image: ImageLike,
    detection: Detection,
    origin: Mapping[str, Any],
    settings: MaskSettings | ConsensusSettings,
) -> dict[str, Any]:
    """Write the figure of a detection as a PNG file, and return what it is as plain values.

    Parameters
    ----------
    path : Path of the file
    image : what was looked at
    detection : Detection in it
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    settings : of the method

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    photograph, saliency = draw_photograph(image), detection.saliency
    map, mask = draw_map(saliency.placed), resize_mask(detection.mask, photograph.shape[:2])
    scale = photograph.shape[1] / detection.mask.shape[1]
    name = class_name(detection)
    numbers = {"score": detection.score, "probability": detection.probability, "views": detection.view_count}
    trust = _trust(detection)
    mask_pixels = int(detection.mask.sum())
    if isinstance(settings, MaskSettings):
        how = {"rule": saliency.rule, "crops": saliency.crops, "method": detection.method}
        seeds = saliency_seeds(map, settings)
        evidence = (_draw_seeds(photograph, *seeds), _seeds_legend(*seeds))
        words, map_name = f"rule: {saliency.rule}, crops: {saliency.crops}", "saliency map"
    else:
        how = {"method": detection.method}
        evidence = (
            _draw_candidates(photograph, [scale_box(box, scale) for box in detection.candidates]),
            f"boxes of {len(detection.candidates)} cuts",
        )
        words, map_name = _sentence(detection), "class activation map"
    figure = panels(
        [
            (draw_box(photograph, scale_box(detection.box, scale), label=name), f"box {detection.box}"),
            (colour_map(normalise(map)), map_name),
            evidence,
            (_cut_out(photograph, mask), "mask"),
        ],
        title=f"{name}: {score_text(detection)}",
        subtitle=f"{origin['name']}, method: {detection.method}, {words}",
    )
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
        **trust,
        **_smoothing(detection.method),
    )
    provenance.save(figure, path, record)
    return {
        "target": detection.target,
        "label": detection.label,
        **numbers,
        "box": list(detection.box),
        "mask_pixels": mask_pixels,
        **trust,
        **how,
        "settings": asdict(settings),
        "figure": str(path),
    }


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Localise the object that a record describes."""
    how = dict(record["settings"])
    kind: Any = type(get_localisation_method(how["method"]).settings)
    settings = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in how.pop("settings").items()})
    (detection,) = explain.localise(net, images[0], [record["class"]["target"]], settings=settings, **how)
    facts = {name: getattr(detection, name) for name in ("label", "score", "probability", "box")}
    return Recomputed(_name_arrays(detection), facts)


def _name_arrays(detection: Detection) -> dict[str, np.ndarray]:
    map = draw_map(detection.saliency.placed)
    return {"map": map, "mask": resize_mask(detection.mask, map.shape)}


def _trust(detection: Detection) -> dict[str, Any]:
    """Return what "consensus" says of its own answer; nothing of the other methods."""
    if detection.confidence is None:
        return {}
    return {
        "confidence": detection.confidence,
        "localised": detection.localised,
        "agreement": detection.agreement,
        "instances": [list(box) for box in detection.instances],
        "thresholded": detection.thresholded,
    }


def _smoothing(name: str) -> dict[str, Any]:
    method = get_localisation_method(name)
    return {} if isinstance(method, ConsensusMethod) else {"samples": method.samples, "noise": method.noise}


def _sentence(detection: Detection) -> str:
    origin = "the map's threshold, since no cut gave a mask" if detection.thresholded else "a cut"
    guess = "" if detection.localised else "can't localise, the box is a guess: "
    return f"{guess}confidence {detection.confidence:.0%}, agreement {detection.agreement:.2f}, mask from {origin}"


def _draw_candidates(photograph: np.ndarray, boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """Photograph in grey with the boxes of all cuts."""
    grey = np.repeat(photograph.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    for box in boxes:
        grey = draw_box(grey, box)
    return grey


def _draw_seeds(photograph: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Photograph in grey with the seeds' colours over it."""
    # in grey, so that the seeds are the only colours
    painted = np.repeat(photograph.mean(axis=2, keepdims=True), 3, axis=2)
    for seeds, colour in ((foreground, OBJECT), (background, BACKGROUND)):
        painted[seeds] = 0.5 * painted[seeds] + 0.5 * np.array(colour)
    return painted.astype(np.uint8)


def _seeds_legend(foreground: np.ndarray, background: np.ndarray) -> str:
    """Return what the colours of `_draw_seeds` mean, of those that are there."""
    colours = [("object orange", foreground), ("background blue", background)]
    return f"seeds: {', '.join(words for words, seeds in colours if seeds.any()) or 'none'}"


def _cut_out(photograph: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Photograph where the mask is set, washed out elsewhere."""
    # a fifth of the contrast, on white; in int, since uint8 would wrap around
    return np.where(mask[..., None], photograph, 255 - (255 - photograph.astype(int)) // 5).astype(np.uint8)
