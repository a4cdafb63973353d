"""Figure "deconvnet": the images that activate a feature map most, patches above their reconstructions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import explain
from minicnn._utils.counted import counted
from minicnn._utils.types import ImageLike, PathLike
from minicnn.explain.deconvnet import Reconstruction
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed
from minicnn.layers import AdaptiveMaxPool2d, MaxPool2d, sequence
from minicnn.network import Network
from minicnn.report import contact_sheet

__all__ = ["measure_likeness", "recompute", "write_reconstructions"]

ALIKE = 0.7  # likeness from which reconstructions are nearly the same: those with switches have about 0.1
SAME = "the reconstructions are nearly the same for all pictures"


def write_reconstructions(
    path: PathLike,
    pairs: Sequence[tuple[ImageLike, Reconstruction]],
    origin: Mapping[str, Any],
    searched: int | None = None,
    net: Network | None = None,
) -> dict[str, Any]:
    """Write a contact sheet as a PNG file, and return what it shows as plain values.

    Parameters
    ----------
    path : Path of the file
    pairs : (image, Reconstruction) of one feature map, the strongest first
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    searched : int, how many images those were chosen from; as many as are shown unless given
    net : Network, optional, for the cause where the reconstructions are nearly the same for all images

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
    scale = _choose_scale(shown)
    likeness = measure_likeness(shown, (1, 1) if net is None else _stride(net, first.layer))
    alike = likeness > ALIKE
    cause = "" if net is None else _explain_likeness(net, first.layer)
    if alike and first.rule == "deconvnet":
        warnings.warn(f"{first.layer}, channel {first.channel}: {SAME}{cause}", stacklevel=2)
    sheet = contact_sheet(
        [
            [(r.patch, f"{r.value:.3g}" if abs(r.value) < 1000 else f"{r.value:,.0f}") for r in shown],
            [(_draw(r.cut / scale, preprocess.get("channels")), Path(str(image)).stem) for image, r in pairs],
        ],
        headings=(
            "patches of the receptive field, and the activation",
            f"{SAME}{cause}" if alike else "reconstructions, contrast stretched",
        ),
        title=f"{first.layer}, channel {first.channel}",
        subtitle=f"{origin['name']}, rule: {first.rule}, the strongest of {counted(searched, 'image')}",
    )
    feature_map = {"layer": first.layer, "channel": first.channel, "rule": first.rule}
    settings = {**feature_map, "positions": [r.position for r in shown]}
    facts = {**_facts(shown), "searched": searched}
    record = provenance.make_record("deconvnet", origin, images, None, settings, _name_arrays(shown), **facts)
    provenance.save(sheet, path, record)
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


def measure_likeness(shown: Sequence[Reconstruction], stride: tuple[int, int] = (1, 1)) -> float:
    """Return the mean cosine between pairs of reconstructions, one shifted so that their activations meet.

    Parameters
    ----------
    shown : Reconstruction of one feature map
    stride : rows and columns of the input from one activation to the next

    Returns
    -------
    likeness : float in [-1, 1], 0 if there are no two of different pictures that are not zero

    """
    cosines = []
    for first, second in combinations(shown, 2):
        if np.array_equal(first.patch, second.patch):
            continue  # of one picture there is one reconstruction
        shifts = [
            (p - q) * s
            for p, q, s in zip(first.position or (0, 0), second.position or (0, 0), stride, strict=True)
        ]
        size = first.x.shape[1:]
        # what both show: the one without its first rows, the other without its last
        (rows, other_rows), (columns, other_columns) = (
            _overlap(n, by) for n, by in zip(size, shifts, strict=True)
        )
        a, b = first.x[:, rows, columns].ravel(), second.x[:, other_rows, other_columns].ravel()
        if norm := float(np.linalg.norm(a) * np.linalg.norm(b)):
            cosines.append(float(a @ b) / norm)
    return float(np.mean(cosines)) if cosines else 0.0


def _overlap(n: int, shift: int) -> tuple[slice, slice]:
    return slice(max(0, shift), n + min(0, shift)), slice(max(0, -shift), n + min(0, -shift))


def _stride(net: Network, layer: str) -> tuple[int, int]:
    """Return how many rows and columns of the input lie between neighbours of a layer's maps."""
    assert net.input_shape is not None  # or there would be no receptive field
    shape = sequence.output_shape(sequence.truncate_at(net.named_layers, layer), net.input_shape)
    if len(shape) != 3:
        return 1, 1
    return round(net.input_shape[1] / shape[1]), round(net.input_shape[2] / shape[2])


def _explain_likeness(net: Network, layer: str) -> str:
    """Return why reconstructions from a layer can be nearly the same for all pictures, and what to do."""
    below = _count_switches(sequence.truncate_at(net.named_layers, layer))
    if not _count_switches(net.named_layers):
        return (
            f": {net.name} has no max-pools (it shrinks maps by strides or means), and their switches are all "
            "that a deconvnet keeps of a picture; take a network that has some, such as squeezenet1_1, or "
            "--rule guided"
        )
    if not below:
        return (
            f": no max-pool lies below {layer}, and their switches are all that a deconvnet keeps of a picture; "
            "take a layer behind one"
        )
    return (
        f": of a picture a deconvnet keeps the switches of max-pools alone, and below {layer} "
        f"{counted(below, 'max-pool')} shaped little; take a layer behind more of them, an earlier one if it is "
        "late, or --rule guided"
    )


def _count_switches(layers: sequence.NamedLayers) -> int:
    return sum(isinstance(layer, MaxPool2d | AdaptiveMaxPool2d) for _, layer in sequence.walk(layers))


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
