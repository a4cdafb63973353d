"""Figure "attribution": a later method's map, the map with its sign, the overlay; all settings in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn import explain
from minicnn._utils.types import ImageLike, PathLike
from minicnn.explain.attribution import Attribution
from minicnn.figures import provenance
from minicnn.figures.common import (
    Recomputed,
    class_name,
    draw_map,
    draw_photograph,
    map_panel,
    score_text,
    sign_words,
)
from minicnn.network import Network
from minicnn.report import colour_map, normalise, overlay, panels
from minicnn.report.drawing import signed_map

__all__ = ["recompute", "write_attribution"]


def write_attribution(
    path: PathLike,
    image: ImageLike,
    attribution: Attribution,
    origin: Mapping[str, Any],
    region: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Write photograph, map, signed map and overlay as one PNG file; return what it shows as plain values.

    Parameters
    ----------
    path : Path of the file
    image : path, PIL.Image or uint8 array of shape (H, W, 3)
    attribution : Attribution, of the image
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    region : of a network of maps, where the class was scored

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    placed = attribution.placed
    photograph, map = draw_photograph(image), draw_map(placed)
    strength, signed = normalise(map), normalise(draw_map(attribution.placed_signed))
    # the record keeps these, and ``recompute`` passes them on as arguments
    settings = {"method": attribution.method, "crops": attribution.crops, **attribution.settings}
    settings |= {} if region is None else {"region": list(region)}
    figure = panels(
        [
            (photograph, Path(str(image)).name if isinstance(image, str | Path) else "image"),
            map_panel(colour_map(strength), placed, attribution.method),
            map_panel(colour_map(signed, signed_map()), placed, sign_words(signed, "for the class", "against it")),
            (overlay(photograph, strength), "overlay"),
        ],
        title=f"{class_name(attribution)}: {score_text(attribution)}",
        subtitle=", ".join([origin["name"], *_format(settings), *_format(attribution.facts)]),
    )
    numbers = {
        "score": attribution.score,
        "probability": attribution.probability,
        "views": attribution.view_count,
        **attribution.facts,
    }
    arrays = {"map": map}
    record = provenance.make_record("attribution", origin, [image], attribution, settings, arrays, **numbers)
    provenance.save(figure, path, record)
    return {
        "image": str(image),
        "net": origin["name"],
        "target": attribution.target,
        "label": attribution.label,
        **numbers,
        **settings,
        "figure": str(path),
    }


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Compute the map that a record describes."""
    attribution = explain.attribution(net, images[0], record["class"]["target"], **record["settings"])
    facts = {name: getattr(attribution, name) for name in ("label", "score", "probability")}
    return Recomputed({"map": draw_map(attribution.placed)}, facts | attribution.facts)


def _format(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in values.items()
    ]
