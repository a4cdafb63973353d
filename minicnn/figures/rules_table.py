"""Figure "rules": section 4's table, a row for each kind of layer, a column for each rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.colour_names import BOTH_SIGNS
from minicnn._utils.types import ImageLike, PathLike
from minicnn.explain.rules_table import KindOfLayer, group_by_kind, rules_by_layer
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed
from minicnn.network import Network
from minicnn.report import colour_map, contact_sheet
from minicnn.report.drawing import signed_map

__all__ = ["recompute", "write_rules_table"]


def write_rules_table(
    path: PathLike, image: ImageLike, kinds: Sequence[KindOfLayer], origin: Mapping[str, Any], seed: int = 0
) -> dict[str, Any]:
    """Write the table as a PNG file, and return it as plain values.

    Parameters
    ----------
    path : Path of the file
    image : what was looked at
    kinds : KindOfLayer of the network
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    seed : int, of the cotangents that were sent back

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    below, above = BOTH_SIGNS[signed_map()]
    legend = f"{below} is negative, {above} positive"
    sheet = contact_sheet(
        [_draw_row(kind) for kind in kinds],
        headings=[_format_heading(kind) for kind in kinds],
        title="Gradient, deconvnet, guided backpropagation: one table, layer by layer",
        subtitle=f"{origin['name']}. Each layer alone: its input x, the random dy sent back, dx by each rule; "
        f"{legend}.",
        cell=200,
    )
    record = provenance.make_record(
        "rules", origin, [image], None, {"seed": seed}, _name_arrays(kinds), **_facts(kinds)
    )
    provenance.save(sheet, path, record)
    return {
        "image": str(image),
        "net": origin["name"],
        "kinds": [_to_dict(kind) for kind in kinds],
        "figure": str(path),
    }


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Compute the table that a record describes."""
    kinds = group_by_kind(rules_by_layer(net, images[0], **record["settings"]))
    return Recomputed(_name_arrays(kinds), _facts(kinds))


def _name_arrays(kinds: Sequence[KindOfLayer]) -> dict[str, np.ndarray]:
    """Return the pictures that the figure shows, by kind and name."""
    return {f"{kind.kind}, {name}": picture for kind in kinds for name, picture in kind.first.pictures.items()}


def _facts(kinds: Sequence[KindOfLayer]) -> dict[str, Any]:
    """Return what the figure says in words: how far the two other rules are from the gradient, by kind."""
    return {f"{kind.kind} apart": list(kind.deviation) for kind in kinds if kind.deviation is not None}


def _to_dict(kind: KindOfLayer) -> dict[str, Any]:
    deconvnet, guided = kind.deviation or (None, None)
    return {"kind": kind.kind, "count": kind.count, "deconvnet": deconvnet, "guided": guided}


def _format_heading(kind: KindOfLayer) -> str:
    where = f"{kind.kind} (the first of {kind.count}: {kind.first.layer})" if kind.count > 1 else kind.kind
    if kind.deviation is None:
        return f"{where}: deconvnet and guided backpropagation are not defined"
    if not any(kind.deviation):
        return f"{where}: the rules are identical"
    return f"{where}: the gradient keeps dy where x was let through, deconvnet where dy > 0, guided where both"


def _draw_row(kind: KindOfLayer) -> list[tuple[np.ndarray, str]]:
    """Return the pictures with captions; x and dy each in their own scale, the rules' dx in the gradient's."""
    # one scale for the three dx, so that a difference between the rules shows
    scale = np.abs(kind.first.pictures["gradient"]).max()
    captions = {"x": "x, the layer's input", "dy": "dy, what is sent back", "gradient": "dx by the gradient"}
    for rule, difference in zip(("deconvnet", "guided"), kind.first.deviation or (), strict=False):
        words = f"off by up to {difference:.3g} of the gradient's largest value"
        captions[rule] = f"dx by {rule}: {words if difference else 'the same, bit for bit'}"
    return [(_draw(kind.first.pictures[name], scale, name), words) for name, words in captions.items()]


def _draw(picture: np.ndarray, scale: float, name: str) -> np.ndarray:
    scale = np.abs(picture).max() if name in ("x", "dy") else scale
    pixels = colour_map(np.clip(picture / (scale or 1), -1, 1), signed_map())
    side = max(1, 180 // max(pixels.shape[:2]))
    return pixels.repeat(side, 0).repeat(side, 1)
