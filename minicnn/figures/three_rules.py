"""Figure "three-rules": one image's map by the gradient, by the deconvnet rule and by guided backpropagation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.explain import saliency
from minicnn.explain.saliency import Saliency
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed, class_name, draw_map, draw_photograph, map_panel
from minicnn.network import Network
from minicnn.report import colour_map, normalise, panels

__all__ = ["recompute", "write_three_rules"]

RULES = ("gradient", "deconvnet", "guided")


def write_three_rules(path: PathLike, net: Network, image: PathLike, origin: Mapping[str, Any]) -> None:
    """Compute an image's map of its most probable class by each rule, and write them as one PNG file.

    Parameters
    ----------
    path : Path of the file
    net : Network
    image : path
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Raises
    ------
    ImageError
        If the image can't be read or the file can't be written; nothing is left behind.

    """
    settings: dict[str, Any] = {"crops": "one", "of": "score"}
    # each rule explains the same class, as the forward pass does not depend on the rule
    saliencies = _compute(net, image, None, settings)
    maps = [map_panel(colour_map(normalise(draw_map(s.placed))), s.placed, rule) for rule, s in saliencies.items()]
    name = Path(image).name
    title = f"{name}: {class_name(saliencies['gradient'])}"
    figure = panels([(draw_photograph(image), name), *maps], title=title)
    record = provenance.make_record(
        "three-rules", origin, [image], saliencies["gradient"], settings, _name_arrays(saliencies)
    )
    provenance.save(figure, path, record)


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Compute the three maps that a record describes."""
    saliencies = _compute(net, images[0], record["class"]["target"], record["settings"])
    return Recomputed(_name_arrays(saliencies), {"label": saliencies["gradient"].label})


def _compute(
    net: Network, image: PathLike, target: int | None, settings: Mapping[str, Any]
) -> dict[str, Saliency]:
    return {rule: saliency(net, image, target, rule=rule, **settings) for rule in RULES}


def _name_arrays(saliencies: Mapping[str, Saliency]) -> dict[str, np.ndarray]:
    return {rule: draw_map(s.placed) for rule, s in saliencies.items()}
