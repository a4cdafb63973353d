"""Figure "saliency": the photograph, the saliency map, the overlay; class, score and rule in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn import explain
from minicnn._utils.types import ImageLike, PathLike
from minicnn.explain.saliency import Saliency
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed, class_name, draw_map, draw_photograph, map_panel, score_text
from minicnn.network import Network
from minicnn.report import colour_map, normalise, overlay, panels

__all__ = ["recompute", "write_saliency"]


def write_saliency(
    path: PathLike,
    image: ImageLike,
    saliency: Saliency,
    origin: Mapping[str, Any],
    of: str = "score",
    region: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Write photograph, map and overlay, side by side, as one PNG file; return what it shows as plain values.

    Parameters
    ----------
    path : Path of the file
    image : path, PIL.Image or uint8 array of shape (H, W, 3)
    saliency : Saliency, of the image
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    of : "score" or "probability", what was differentiated
    region : of a network of maps, where the class was scored

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    See Also
    --------
    minicnn.figures.verification.verify_figure : computes the map anew from the file's record

    """
    photograph, map = draw_photograph(image), draw_map(saliency.placed)
    strength = normalise(map)
    # the record keeps these, and ``recompute`` passes them on as arguments
    settings: dict[str, Any] = {"rule": saliency.rule, "crops": saliency.crops, "of": of}
    settings |= {} if region is None else {"region": list(region)}
    figure = panels(
        [
            (photograph, Path(str(image)).name if isinstance(image, str | Path) else "image"),
            map_panel(colour_map(strength), saliency.placed, "saliency map"),
            (overlay(photograph, strength), "overlay"),
        ],
        title=f"{class_name(saliency)}: {score_text(saliency)}",
        subtitle=", ".join([origin["name"], *(f"{name}: {value}" for name, value in settings.items())]),
    )
    numbers = {"score": saliency.score, "probability": saliency.probability, "views": saliency.view_count}
    record = provenance.make_record("saliency", origin, [image], saliency, settings, {"map": map}, **numbers)
    provenance.save(figure, path, record)
    return {
        "image": str(image),
        "net": origin["name"],
        "target": saliency.target,
        "label": saliency.label,
        **numbers,
        **settings,
        "figure": str(path),
    }


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Compute the map that a record describes."""
    saliency = explain.saliency(net, images[0], record["class"]["target"], **record["settings"])
    facts = {name: getattr(saliency, name) for name in ("label", "score", "probability")}
    return Recomputed({"map": draw_map(saliency.placed)}, facts)
