"""A feature map's strongest images: each patch of its receptive field above its reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.figures import provenance
from minicnn.report.contact_sheet import contact_sheet
from minicnn.report.panels import save_png

__all__ = ["write_reconstructions"]


def write_reconstructions(
    path: Path, found: list[tuple[Any, Any]], origin: Mapping[str, Any], searched: int | None = None
) -> dict[str, Any]:
    """Write a contact sheet as a PNG file, and return what it shows as plain values.

    Parameters
    ----------
    path : Path of the file
    found : (image, ``Reconstruction``) pairs of one feature map, the strongest first
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    searched : int, how many images those were found among; as many as are shown unless given

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    Source: Zeiler, Fergus 2013, figure 2.

    """
    first = found[0][1]
    record = {
        "net": origin["name"],
        "layer": first.layer,
        "channel": first.channel,
        "rule": first.rule,
        "activations": [
            {"image": str(image), "value": r.value, "position": r.position, "box": list(r.box)}
            for image, r in found
        ],
        "searched": len(found) if searched is None else searched,
        "figure": str(path),
    }
    largest = max(np.abs(r.cut).max() for _, r in found) or 1.0
    sheet = contact_sheet(
        [
            [(r.patch, f"{r.value:.3g}") for _, r in found],
            [(_around_grey(r.cut / largest), Path(str(image)).stem) for image, r in found],
        ],
        headings=("patches of the receptive field, and the activation", "reconstructions"),
        title=f"{first.layer}, channel {first.channel}",
        subtitle=f"{origin['name']}, rule: {first.rule}, the strongest of {record['searched']} images",
    )
    save_png(sheet, path, provenance.metadata(_origin_of(found, origin, record["searched"]), sheet))
    return record


def _origin_of(found: list[tuple[Any, Any]], origin: Mapping[str, Any], searched: int) -> dict[str, Any]:
    first, images = found[0][1], [image for image, _ in found]
    settings = {key: getattr(first, key) for key in ("layer", "channel", "rule")}
    settings["positions"] = [r.position for _, r in found]
    arrays = {f"reconstruction {i + 1}": r.x for i, (_, r) in enumerate(found)}
    said = {"values": [r.value for _, r in found], "searched": searched}
    return provenance.record("deconvnet", origin, images, None, settings, arrays, **said)


def _around_grey(x: np.ndarray) -> np.ndarray:
    """Values of -1..1 of shape (C, h, w) as a picture around middle grey, enlarged by whole pixels."""
    pixels = np.rint(127.5 + 127.5 * np.clip(x, -1, 1)).astype(np.uint8)
    side = max(1, 180 // max(pixels.shape[1:]))
    pixels = np.broadcast_to(pixels, (3, *pixels.shape[1:])) if len(pixels) == 1 else pixels[:3]
    return pixels.transpose(1, 2, 0).repeat(side, 0).repeat(side, 1)
