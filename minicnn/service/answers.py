"""What is answered of pictures that go through the network together, and how it is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.json import nan_to_none
from minicnn.batch.answers import Picture, map_size
from minicnn.explain.attribution_maps import max_abs_over_channels
from minicnn.explain.localise import Detection, localise
from minicnn.explain.prediction import Prediction, class_label, mean_probabilities
from minicnn.images import PlacedMaps
from minicnn.network import Network
from minicnn.service.questions import Question

__all__ = ["Reply", "answer"]


class Reply(NamedTuple):
    """A written answer.

    Attributes
    ----------
    body : bytes
    kind : str, the media type

    """

    body: bytes
    kind: str


def answer(net: Network, question: Question, pictures: Sequence[Picture]) -> list[Reply]:
    """Return the answers of pictures of one shape of which the same is asked.

    A picture by itself gets the bits that ``minicnn.explain`` gives it, view by view; several go through the
    network at once, which changes how sums are rounded.

    Parameters
    ----------
    net : Network with one score a class, as ``as_classifier`` returns it
    question : Question
    pictures : sequence of Picture

    Raises
    ------
    MinicnnError
        If there is no answer: a score that is no number, a map that marks nothing.

    """
    if question.task == "localise":
        return [_localise(net, picture, question) for picture in pictures]
    x = np.concatenate([picture.x for picture in pictures])
    parts = [x] if len(pictures) > 1 else [view[None] for view in x]
    if question.task == "predict":
        scores = np.concatenate([net(part) for part in parts])
        return [_predict(net, own, question) for own in _split(scores, pictures)]
    return list(_saliency(net, parts, pictures, question))


def _split(rows: np.ndarray, pictures: Sequence[Picture]) -> Iterator[np.ndarray]:
    """Yield the rows of each picture's views."""
    each = iter(rows)
    return (np.stack(list(islice(each, len(picture.x)))) for picture in pictures)


def _predict(net: Network, scores: np.ndarray, question: Question) -> Reply:
    mean, probability = scores.mean(axis=0), mean_probabilities(net, scores)
    best = [int(c) for c in np.argsort(-probability, kind="stable")[: question.top]]
    classes = [
        Prediction(c, class_label(net, c), float(mean[c]), float(probability[c]), len(scores))._asdict()
        for c in best
    ]
    return _json({"net": net.name, "crops": question.crops, "predictions": classes})


def _saliency(
    net: Network, parts: Sequence[np.ndarray], pictures: Sequence[Picture], question: Question
) -> Iterator[Reply]:
    traced = [net.trace(part) for part in parts]
    scores = list(_split(np.concatenate([y for y, _ in traced]), pictures))
    probabilities = [mean_probabilities(net, own) for own in scores]
    classes = [int(p.argmax()) if question.target is None else question.target for p in probabilities]
    targets = iter(np.repeat(classes, [len(picture.x) for picture in pictures]))
    gradients = [
        net.backward(tape, net.cotangent(y, np.array(list(islice(targets, len(y))))), question.rule)
        for y, tape in traced
    ]
    maps = _split(max_abs_over_channels(np.concatenate(gradients)), pictures)
    for c, own, probability, map, picture in zip(classes, scores, probabilities, maps, pictures, strict=True):
        placed = PlacedMaps(map, picture.views)
        drawn = placed.at(map_size(placed.image_size))
        if question.format == "png":
            yield _png(drawn)
            continue
        record = _class(net, c, float(own[:, c].mean()), float(probability[c]), len(own))
        record |= {"rule": question.rule, "crops": question.crops, "size": list(placed.image_size)}
        yield _json(record | {"map": _numbers(drawn)})


def _localise(net: Network, picture: Picture, question: Question) -> Reply:
    targets = question.top if question.target is None else [question.target]
    assert picture.pixels is not None
    detections = localise(net, picture.pixels, targets, method=question.method)
    if question.format == "png":
        return _png(detections[0].mask)
    size = list(detections[0].mask.shape)
    return _json({"net": net.name, "size": size, "detections": [_detection(net, each) for each in detections]})


def _detection(net: Network, detection: Detection) -> dict[str, Any]:
    record = _class(net, detection.target, detection.score, detection.probability, detection.view_count)
    del record["net"]
    return record | {
        "box": [int(edge) for edge in detection.box],
        "confidence": detection.confidence,
        "localised": bool(detection.localised),
        "method": detection.method,
    }


def _class(net: Network, c: int, score: float, probability: float, views: int) -> dict[str, Any]:
    label = class_label(net, c)
    facts = {"target": c, "label": label, "score": score, "probability": probability, "view_count": views}
    return {"net": net.name, **facts}


def _json(record: dict[str, Any]) -> Reply:
    return Reply(json.dumps(nan_to_none(record), ensure_ascii=False).encode(), "application/json")


def _numbers(map: np.ndarray) -> dict[str, Any]:
    """Return a map as JSON holds it, to the last bit."""
    values = np.ascontiguousarray(map, "<f4")
    return {"shape": list(map.shape), "dtype": "<f4", "base64": base64.b64encode(values.tobytes()).decode()}


def _png(map: np.ndarray) -> Reply:
    """Return a map as grey PNG, its largest value white; a mask in black and white."""
    from PIL import Image

    peak = float(map.max())
    grey = np.uint8(np.round(map * (255 / peak))) if peak and map.dtype != bool else np.uint8(map) * np.uint8(255)
    buffer = BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return Reply(buffer.getvalue(), "image/png")
