"""The answers of a few images that go through the network together: a row and arrays of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.batch.job import Job
from minicnn.errors import MinicnnError
from minicnn.explain.attribution_maps import max_abs_over_channels
from minicnn.explain.prediction import class_index, class_label, mean_probabilities
from minicnn.images import PlacedMaps, View
from minicnn.layers import Conv2d, Linear, sequence
from minicnn.network import Network

__all__ = ["Answer", "Picture", "answer", "feature_layer", "map_size"]

MAP_PIXELS = 2**16  # of a map of a whole picture; a map holds no more than the network's input does


class Picture(NamedTuple):
    """An image as the network takes it.

    Attributes
    ----------
    x : float32 array of shape (V, C, H, W)
    views : list of V View
    pixels : uint8 array of shape (H, W, 3), for "localise" alone

    """

    x: np.ndarray
    views: list[View]
    pixels: np.ndarray | None = None


class Answer(NamedTuple):
    """What a batch writes of an image: the columns of its row, and a map or mask."""

    row: dict[str, Any]
    map: np.ndarray | None = None


def answer(net: Network, pictures: Sequence[Picture], job: Job) -> list[Answer]:
    """Return the answers of pictures of one shape, in their order.

    Parameters
    ----------
    net : Network with one score a class, as ``as_classifier`` returns it
    pictures : their x of one shape
    job : Job

    """
    if job.task == "localise":
        return [_localise(net, picture, job) for picture in pictures]
    x = np.concatenate([picture.x for picture in pictures])
    if job.task == "features":
        return [Answer({"features": values.tolist()}) for values in _split_mean(_features(net, x, job), pictures)]
    if job.task == "saliency":
        return list(_saliency(net, x, pictures, job))
    return [Answer(_classes(net, scores, job.top)) for scores in _split(net(x), pictures)]


def feature_layer(net: Network, layer: str | None) -> str:
    """Return the layer whose activations are the features: the one named, or what the class scores are made of.

    Raises
    ------
    MinicnnError
        If there is no such layer, or the network is its scores' layer alone.

    """
    layers = sequence.before_softmax(net.named_layers)
    if layer is not None:
        sequence.truncate_at(layers, layer)
        return layer
    last = max((i for i, (_, each) in enumerate(layers) if isinstance(each, Linear | Conv2d)), default=0)
    if not last:
        raise MinicnnError(f"features: {net.name} has no layer before its scores; name one with --layer")
    return layers[last - 1][0]


def _split(values: np.ndarray, pictures: Sequence[Picture]) -> Iterator[np.ndarray]:
    """Yield the rows of each picture's views."""
    start = 0
    for picture in pictures:
        yield values[start : start + len(picture.x)]
        start += len(picture.x)


def _split_mean(values: np.ndarray, pictures: Sequence[Picture]) -> Iterator[np.ndarray]:
    return (own.mean(axis=0) for own in _split(values, pictures))


def _classes(net: Network, scores: np.ndarray, top: int) -> dict[str, Any]:
    """Return the most probable classes of the scores (V, K) of an image, as ``minicnn.explain.predict`` does."""
    probability, mean = mean_probabilities(net, scores), scores.mean(axis=0)
    best = np.argsort(-probability, kind="stable")[:top]
    return {
        "classes": [int(c) for c in best],
        "labels": [class_label(net, int(c)) or "" for c in best],
        "probabilities": [float(probability[c]) for c in best],
        "scores": [float(mean[c]) for c in best],
    }


def _class(net: Network, c: int, scores: np.ndarray) -> dict[str, Any]:
    probability = float(mean_probabilities(net, scores)[c])
    label = class_label(net, c) or ""
    return {"class": c, "label": label, "probability": probability, "score": float(scores[:, c].mean())}


def _features(net: Network, x: np.ndarray, job: Job) -> np.ndarray:
    """Return activations (V, D): of maps each one's mean."""
    values = net.forward(x, upto=feature_layer(net, job.layer))
    return values if values.ndim == 2 else values.reshape(*values.shape[:2], -1).mean(axis=2)


def _saliency(net: Network, x: np.ndarray, pictures: Sequence[Picture], job: Job) -> Iterator[Answer]:
    """Yield the largest |w| over the channels, w = dS_c / dx (paper, equations 2 and 3), of all from one pass."""
    y, tape = net.trace(x)
    scores = list(_split(y, pictures))
    classes = [_chosen(net, own, job) for own in scores]
    dy = np.zeros_like(y)
    dy[np.arange(len(y)), np.repeat(classes, [len(p.x) for p in pictures])] = 1
    maps = _split(max_abs_over_channels(net.backward(tape, dy)), pictures)
    for c, own, map, picture in zip(classes, scores, maps, pictures, strict=True):
        placed = PlacedMaps(map, picture.views)
        yield Answer(_class(net, c, own), placed.at(map_size(placed.image_size)))


def _chosen(net: Network, scores: np.ndarray, job: Job) -> int:
    probabilities = mean_probabilities(net, scores)
    return int(probabilities.argmax()) if job.target is None else class_index(net, job.target, scores.shape[1])


def map_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return a picture's size, both sides divided alike where it has more pixels than a map need have."""
    scale = min(1.0, (MAP_PIXELS / (size[0] * size[1])) ** 0.5)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _localise(net: Network, picture: Picture, job: Job) -> Answer:
    from minicnn.explain.localise import localise

    assert picture.pixels is not None
    (detection,) = localise(net, picture.pixels, 1 if job.target is None else [job.target], method=job.method)
    row = {
        "class": detection.target,
        "label": detection.label or "",
        "probability": detection.probability,
        "score": detection.score,
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, detection.box), strict=True)),
        "confidence": detection.confidence,
        "localised": bool(detection.localised),
    }
    return Answer(row, detection.mask)
