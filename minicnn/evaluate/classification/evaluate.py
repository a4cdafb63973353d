"""The answers of a network to a labelled data set, image by image, and what they are worth."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn._utils.types import PathLike, Progress
from minicnn.errors import DeviceError, MinicnnError
from minicnn.evaluate.checkpoint import digest
from minicnn.evaluate.classification.answers import Answer, open_answers
from minicnn.evaluate.classification.result import Classification, measure_answers
from minicnn.evaluate.dataset import Skip
from minicnn.evaluate.datasets.annotation import Skipped
from minicnn.evaluate.datasets.class_names import ClassNames
from minicnn.explain.outputs.classifier import as_classifier, describe_outputs
from minicnn.explain.prediction import get_preprocess, mean_probabilities
from minicnn.images.views import View
from minicnn.network import Network
from minicnn.training.data.dataset import Dataset, read_dataset

__all__ = ["evaluate_classification"]

KINDS = {"one": ("one",), "ten": ("one", "ten"), "whole": ("whole",)}  # what crops are measured as
VALUES = 1 << 20  # of the inputs of one pass, so that memory is bounded whatever their size
MOST = 256  # views of one pass


def evaluate_classification(
    net: Network,
    dataset: PathLike | Dataset,
    *,
    crops: str = "one",
    names: ClassNames | None = None,
    keep: PathLike | None = None,
    progress: Progress = iter,
    skip: Skip | None = None,
) -> Classification:
    """Top-1 and top-5 accuracy, loss, confusion matrix and calibration of a network on a labelled data set.

    Parameters
    ----------
    net : Network with a ``preprocess``
    dataset : Dataset, or what ``minicnn.training.read_dataset`` reads, of which the part "test" is taken
        Its classes are matched by their names: labels of the network, WordNet ids, or numbers.
    crops : "one", "ten" or "whole"
        As for ``minicnn.explain.predict``; with "ten" the single view is measured beside the mean of the ten.
    names : what else the data set may call the classes; the network's labels unless given
    keep : folder, optional
        Each answer is written there as it is done, in a CSV; the same network and images go on from there.
    progress : wraps the list of images that are left
    skip : called with each image that can't be read, and why; None: the error is raised

    Returns
    -------
    classification : Classification

    Raises
    ------
    MinicnnError
        If the data set has a class that the network does not have, no image can be read, or, without ``skip``,
        one can't.

    References
    ----------
    .. [1] Guo et al. 2017, "On calibration of modern neural networks".
    .. [2] Krizhevsky, Sutskever, Hinton 2012, section 4.1: the mean over ten views.

    Examples
    --------
    >>> import minicnn
    >>> seven = np.zeros((1, 28, 28), np.uint8)
    >>> seven[0, 6, 8:20] = seven[0, 6:22, 19] = 255
    >>> result = evaluate_classification(minicnn.load("digits"), Dataset(seven, [7]))
    >>> result.measures["one"].top1.text(per_cent=True)
    '100.0% [20.7%, 100.0%]'

    """
    if crops not in KINDS:
        raise MinicnnError(f"crops: expected 'one', 'ten' or 'whole', got {crops!r}")
    net, data = as_classifier(net), dataset if isinstance(dataset, Dataset) else read_dataset(dataset, "test")
    targets = _match_classes(net, data, names)
    job = _Job(net, data, targets, crops)
    first: MinicnnError | None = None
    # called after all that decides the answers, so that those of another run are never read
    name = f"answers-{digest(net, [], data.digest(), targets.tolist(), crops)}.csv"
    path = None if keep is None else Path(keep) / name
    with open_answers(path, net.labels) as file:
        done = {answer.number for answer in file.answers if answer.crops == KINDS[crops][-1]}
        left = [n for n in range(len(data)) if n not in done]
        made = _answer(job, left)
        for number in progress(left):
            answers = next(made)
            if isinstance(answers, MinicnnError):
                if skip is None:
                    raise answers
                skip(Skipped(data.name(number), str(answers)))
                first = first or answers
            else:
                file.append(answers)
    if not file.answers:
        raise MinicnnError(f"none of {len(data)} images could be read; the first: {first}")
    return _summarise(job, file.answers, path)


class _Job(NamedTuple):
    """What is answered: a network, images, the network's class of each image, views."""

    net: Network
    data: Dataset
    targets: np.ndarray
    crops: str


class _Input(NamedTuple):
    """Views of an image as the network's input (V, C, H, W), and which of them each kind takes."""

    x: np.ndarray
    kinds: dict[str, list[int]]


def _match_classes(net: Network, data: Dataset, names: ClassNames | None) -> np.ndarray:
    """Return the network's class of each image; MinicnnError where there is none, or one twice."""
    outputs = describe_outputs(net)
    if outputs is None:
        raise MinicnnError(f"{net.name}: does not say the size of its input; give Network(..., input_shape=...)")
    known = ClassNames.of_network(net) if names is None else names
    used: dict[int, int] = {}
    for own in np.unique(data.classes).tolist():
        number, *others = known[data.labels[own]]
        problem = ""
        if others:
            problem = f"means {1 + len(others)} classes"
        elif number >= outputs.classes:
            problem = f"is class {number}, and {net.name} has 0 to {outputs.classes - 1}"
        elif number in used.values():
            problem = f"is class {number}, as another one is"
        if problem:
            raise MinicnnError(
                f"data set: class {data.labels[own]!r} {problem}; expected a class of its own for each"
            )
        used[own] = number
    return np.array([used[int(own)] for own in data.classes])


def _answer(job: _Job, numbers: Sequence[int]) -> Iterator[list[Answer] | MinicnnError]:
    """Yield the answers to each image, one for each kind of views, or why there are none."""
    size = min(max(1, VALUES // prod(job.net.input_shape or (1,))), MOST)
    size = max(1, size // 10) if job.crops == "ten" else size
    for start in range(0, len(numbers), size):
        part = numbers[start : start + size]
        inputs = [_load(job, number) for number in part]
        x = [loaded.x for loaded in inputs if isinstance(loaded, _Input)]
        scores = job.net(np.concatenate(x)) if x else np.empty(0)
        ends = iter(np.split(scores, np.cumsum([len(views) for views in x])[:-1]))
        for number, loaded in zip(part, inputs, strict=True):
            yield loaded if isinstance(loaded, MinicnnError) else _read_scores(job, number, loaded, next(ends))


def _load(job: _Job, number: int) -> _Input | MinicnnError:
    """Return the views of an image, or why it can't be read."""
    try:
        x, views = get_preprocess(job.net).batch(job.data.source(number), job.crops)
    except DeviceError:
        raise
    except MinicnnError as error:
        return error
    return _Input(x, {kind: _choose(kind, views, job) for kind in KINDS[job.crops]})


def _choose(kind: str, views: list[View], job: _Job) -> list[int]:
    """Return which views a kind takes: of "ten" the single one is the centre, unmirrored."""
    if kind == job.crops:
        return list(range(len(views)))
    (centre,) = get_preprocess(job.net).views(views[0].image_size, kind)
    return [views.index(centre)]


def _read_scores(job: _Job, number: int, loaded: _Input, scores: np.ndarray) -> list[Answer]:
    target, answers = int(job.targets[number]), []
    for kind, views in loaded.kinds.items():
        # in float64, so that the loss of a confident mistake is no infinity
        p = mean_probabilities(job.net, scores[views].astype(np.float64))
        # of equally probable classes the lower number comes first
        rank = 1 + int((p > p[target]).sum() + (p[:target] == p[target]).sum())
        best = int(p.argmax())
        probabilities = float(min(p[best], 1.0)), float(p[target])
        name = job.data.name(number)
        answers.append(Answer(number, name, kind, len(views), target, best, *probabilities, rank))
    return answers


def _summarise(job: _Job, answers: Sequence[Answer], path: Path | None) -> Classification:
    outputs = describe_outputs(job.net)
    assert outputs is not None  # or the classes could not have been matched
    labels = job.net.labels or [f"class {k}" for k in range(outputs.classes)]
    # by number, of which a file that was cut off may have one twice
    numbered = {kind: {a.number: a for a in answers if a.crops == kind} for kind in KINDS[job.crops]}
    by_kind = {kind: [own[n] for n in sorted(own)] for kind, own in numbered.items()}
    if job.crops == "ten" and all(a.views == 1 for a in by_kind["ten"]):
        warnings.warn(f"{job.net.name}: takes no crops, so that the ten views are the one", stacklevel=3)
        del by_kind["ten"]
    measures = {kind: measure_answers(own, outputs.classes) for kind, own in by_kind.items()}
    return Classification(job.net.name, labels, measures, by_kind, path)
