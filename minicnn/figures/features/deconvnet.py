"""Figure "deconvnet": the images that activate a feature map most, patches above their reconstructions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import explain
from minicnn._utils.types import ImageLike, PathLike
from minicnn.explain.deconvnet import Reconstruction
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed
from minicnn.network import Network
from minicnn.report import contact_sheet, save_png

__all__ = ["measure_likeness", "recompute", "write_reconstructions"]

ALIKE = 0.95  # mean cosine from which reconstructions are nearly the same
SAME = (
    "the reconstructions are nearly the same for all pictures: at a ReLU a deconvnet asks for the sign on the way "
    "back alone, so that of the picture only the switches of max-pools below the layer shape it; choose a layer "
    "behind a max-pool, a network that has some, such as squeezenet1_1, or --rule guided"
)


def write_reconstructions(
    path: PathLike,
    pairs: Sequence[tuple[ImageLike, Reconstruction]],
    origin: Mapping[str, Any],
    searched: int | None = None,
) -> dict[str, Any]:
    """Write a contact sheet as a PNG file, and return what it shows as plain values.

    Parameters
    ----------
    path : Path of the file
    pairs : (image, Reconstruction) of one feature map, the strongest first
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    searched : int, how many images those were chosen from; as many as are shown unless given

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    References
    ----------
    Zeiler, Fergus, Visualizing and Understanding Convolutional Networks, 2013, figure 2.

    """
    images, shown = [image for image, _ in pairs], [r for _, r in pairs]
    first, searched = shown[0], len(shown) if searched is None else searched
    preprocess = origin.get("preprocess") or {}
    scale, alike = _choose_scale(shown), measure_likeness([r.cut for r in shown]) > ALIKE
    if alike and first.rule == "deconvnet":
        warnings.warn(f"{first.layer}, channel {first.channel}: {SAME}", stacklevel=2)
    sheet = contact_sheet(
        [
            [(r.patch, f"{r.value:.3g}") for r in shown],
            [(_draw(r.cut / scale, preprocess.get("channels")), Path(str(image)).stem) for image, r in pairs],
        ],
        headings=(
            "patches of the receptive field, and the activation",
            f"reconstructions, contrast stretched{'; nearly the same for all' if alike else ''}",
        ),
        title=f"{first.layer}, channel {first.channel}",
        subtitle=f"{origin['name']}, rule: {first.rule}, the strongest of {searched} images",
    )
    feature_map = {"layer": first.layer, "channel": first.channel, "rule": first.rule}
    settings = {**feature_map, "positions": [r.position for r in shown]}
    facts = {**_facts(shown), "searched": searched}
    record = provenance.make_record("deconvnet", origin, images, None, settings, _name_arrays(shown), **facts)
    save_png(sheet, path, provenance.metadata(record, sheet, path))
    activations = [
        {"image": str(image), "value": r.value, "position": r.position, "box": list(r.box)} for image, r in pairs
    ]
    return {
        "net": origin["name"],
        **feature_map,
        "activations": activations,
        "searched": searched,
        "alike": alike,
        "figure": str(path),
    }


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Reconstruct the activations that a record describes."""
    settings = dict(record["settings"])
    # JSON has made lists of the tuples
    positions = [None if p is None else tuple(p) for p in settings.pop("positions")]
    reconstructions = [
        explain.deconvnet(net, image, position=position, **settings)
        for image, position in zip(images, positions, strict=True)
    ]
    return Recomputed(_name_arrays(reconstructions), _facts(reconstructions))


def _name_arrays(reconstructions: Sequence[Reconstruction]) -> dict[str, np.ndarray]:
    return {f"reconstruction {i + 1}": r.x for i, r in enumerate(reconstructions)}


def _facts(reconstructions: Sequence[Reconstruction]) -> dict[str, Any]:
    return {"values": [r.value for r in reconstructions]}


def measure_likeness(cuts: Sequence[np.ndarray]) -> float:
    """Return the mean cosine between reconstructions of the first one's shape; 0 of fewer than two.

    Examples
    --------
    >>> x = np.ones((3, 4, 4))
    >>> measure_likeness([x, 2 * x]), measure_likeness([x])
    (1.0, 0.0)

    """
    rows = np.stack([cut.reshape(-1) for cut in cuts if cut.shape == cuts[0].shape]).astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    count = len(rows)
    cosines = float((rows @ rows.T).sum()) - float(np.square(rows).sum())
    return round(cosines / (count * (count - 1)), 6) if count > 1 else 0.0


def _choose_scale(shown: Sequence[Reconstruction]) -> float:
    """Return one scale for all, so that strong and weak ones can be told apart: 1 value in 1000 is beyond it."""
    sizes = np.concatenate([np.abs(r.cut).ravel() for r in shown])
    return float(np.quantile(sizes, 0.999) or sizes.max()) or 1.0


def _draw(x: np.ndarray, channels: str | None) -> np.ndarray:
    """Return values of -1..1 of shape (C, h, w) as a picture around middle grey, enlarged by whole pixels."""
    x = x[::-1] if channels == "BGR" else x
    pixels = np.rint(127.5 + 127.5 * np.clip(x, -1, 1)).astype(np.uint8)
    side = max(1, 180 // max(pixels.shape[1:]))
    # a grey input shows in all three channels
    pixels = np.broadcast_to(pixels, (3, *pixels.shape[1:])) if len(pixels) == 1 else pixels[:3]
    return pixels.transpose(1, 2, 0).repeat(side, 0).repeat(side, 1)
