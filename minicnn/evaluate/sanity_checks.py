"""Sanity checks: whether a map changes when what the network has learnt is destroyed (Adebayo et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import ImageLike, PathLike, Progress
from minicnn.errors import ImageError, MinicnnError
from minicnn.evaluate.checkpoint import digest, map_with_checkpoint
from minicnn.evaluate.dataset import Skip
from minicnn.evaluate.datasets.annotation import Skipped
from minicnn.evaluate.randomise import fit_last_layer, replace_parameters, shuffle_parameters, stages
from minicnn.evaluate.sanity_result import SanityCheck
from minicnn.evaluate.similarity import rank_correlation, structural_similarity
from minicnn.explain.attribution import maps_by_method
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.methods import Methods, select_methods
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import load_views
from minicnn.network import Network

__all__ = ["cascade_maps", "sanity_check"]

CHECKED_PASSES = 1  # each picture takes maps of some 40 networks: methods of more passes are checked if named

Settings = dict[str, dict[str, Any]]


def sanity_check(
    net: Network,
    images: Sequence[ImageLike],
    methods: Methods | None = None,
    *,
    seed: int = 0,
    keep: PathLike | None = None,
    progress: Progress = iter,
    skip: Skip | None = None,
) -> SanityCheck:
    """Comparison of a network's maps with those of the same network once its parameters or labels are destroyed.

    For each picture, at its centre view and for the class that the trained net sees there:

    - cascade: layers are shuffled from the scores down, each added to those before;
    - independent: one layer is shuffled and all others are as trained;
    - another class: the rows of the last layer are permuted, which is to ask for a class drawn at random;
    - permuted labels: the last layer is fitted by least squares to the classes that the net sees in these very
      pictures, and again with those classes permuted among the pictures, and the two maps are compared.  All other
      layers stay as they are trained.  Adebayo et al. train the whole net on permuted labels; this asks less.

    Similarity is Spearman's rank correlation of |map| and of the signed map, and SSIM of |map| over its maximum.
    A map that has vanished has no order and counts as 0.

    Parameters
    ----------
    net : Network with a ``preprocess``
    images : paths, PIL images or uint8 arrays of shape (H, W, 3), at least one
    methods : names of ``minicnn.explain.methods.METHODS``, or {name: settings}; the quick ones unless given
    seed : int, of what is drawn
    keep : folder, optional; each picture's result is kept there, and the same call goes on from there
    progress : wraps the list of pictures that are left
    skip : called with each picture that can't be read, and why; None: the error is raised

    Returns
    -------
    check : SanityCheck

    Raises
    ------
    ImageError
        If a picture can't be read and ``skip`` is not given, or none can.
    MinicnnError
        If there are no pictures, or a method is unknown.

    References
    ----------
    .. [1] Adebayo et al. 2018, "Sanity checks for saliency maps", sections 3 and 4.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> net, seven = minicnn.load("digits"), catalogue.folder("images") / "seven.png"
    >>> check = sanity_check(net, [seven], ["gradient"])
    >>> check.stages
    ['fc_layers.2', 'fc_layers.0', 'conv_layers.6', 'conv_layers.3', 'conv_layers.0']

    """
    images = list(images)
    if not images:
        raise MinicnnError("sanity_check: expected at least one picture, got none")
    net = as_classifier(net)
    images = images if skip is None else _readable(net, images, skip)
    inputs = _Inputs(net, images)
    settings = select_methods(net, inputs[0].shape[1:], methods, CHECKED_PASSES)
    fits, labels = _fit_labels(net, inputs, seed)
    # drawn once: all pictures are shown to the same destroyed networks
    shuffled = shuffle_parameters(net, seed)

    def measure(n: int) -> dict[str, Any]:
        # seeded by the picture's number, so that a run that goes on draws what the whole run would have drawn
        image, x, rng = images[n], inputs[n], np.random.default_rng((seed, n))
        scores = net(x)[0]
        similarity = _similarities(net, x, scores, settings, Randomised(shuffled, fits), rng)
        name = str(image) if isinstance(image, str | Path) else ""
        return {"image": name, "target": int(scores.argmax()), "similarity": similarity}

    path = None if keep is None else Path(keep) / f"sanity-{digest(net, images, settings, seed)}.jsonl"
    rows = map_with_checkpoint(path, len(images), measure, progress)
    return SanityCheck([stage.name for stage in stages(net)], settings, rows, labels, seed, images)


def _readable(net: Network, images: list[Any], skip: Skip) -> list[Any]:
    """Return the images that can be read; all are shown to the same nets, so that this is to be known before."""
    readable, first = [], None
    for image in images:
        try:
            load_views(net, image, "one")
        except ImageError as error:
            first = first or error
            skip(Skipped(str(image), str(error)))
        else:
            readable.append(image)
    if first is not None and not readable:
        raise ImageError(f"none of {len(images)} pictures can be read; the first: {first}")
    return readable


class _Inputs:
    """Inputs of pictures, each made when it is asked for."""

    def __init__(self, net: Network, images: list[Any]) -> None:
        self.net, self.images = net, images

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[n] for n in range(len(self)))

    def __getitem__(self, n: int) -> np.ndarray:
        return load_views(self.net, self.images[n], "one")[0]


def _fit_labels(net: Network, inputs: _Inputs, seed: int) -> tuple[tuple[Network, Network] | None, str]:
    """Return nets fitted to the pictures' classes and to these permuted, or None; and a sentence on it."""
    classes = np.array([int(net(x).argmax()) for x in inputs])
    if len(set(classes.tolist())) < 2:
        return None, "not done, as the net sees one class in all pictures"
    permuted = np.random.default_rng(seed).permutation(classes)
    if (permuted == classes).all():
        # the permutation drawn is no change; a turn by one place is one, as there are two classes at least
        permuted = np.roll(classes, 1)
    try:
        fitted, fitted_to_permuted = (fit_last_layer(net, inputs, labels) for labels in (classes, permuted))
    except MinicnnError as error:
        return None, f"not done: {error}"
    moved = (permuted != classes).mean()
    words = (
        f"the last layer alone, by least squares on {len(classes)} pictures of {len(set(classes.tolist()))} "
        f"classes, {moved:.0%} of the labels moved; fitted it gets {fitted.accuracy:.0%} of the labels right, "
        f"and {fitted_to_permuted.accuracy:.0%} of the permuted ones"
    )
    return (fitted.net, fitted_to_permuted.net), words


class Randomised(NamedTuple):
    """What was learnt, destroyed.

    Attributes
    ----------
    parameters : {name: array}, all of them shuffled
    fits : the net fitted to the pictures' classes and to these permuted, or None

    """

    parameters: dict[str, np.ndarray]
    fits: tuple[Network, Network] | None


def _similarities(
    net: Network,
    x: np.ndarray,
    scores: np.ndarray,
    settings: Settings,
    randomised: Randomised,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Return the similarities of one picture's maps to those of the trained net, {method: {check: ...}}."""
    target = int(scores.argmax())
    trained = maps_by_method(net, x, target, settings)
    similarities: dict[str, Any] = {method: {"cascade": [], "independent": []} for method in settings}
    cascade: dict[str, np.ndarray] = {}
    # cascade holds all stages up to this one, own this one alone
    for stage in stages(net):
        own = {name: randomised.parameters[name] for name in stage.parameters}
        cascade |= own
        for check, parameters in (("cascade", cascade), ("independent", own)):
            maps = maps_by_method(replace_parameters(net, parameters), x, target, settings)
            for method in settings:
                similarities[method][check].append(_compare(trained[method], maps[method]))
    # uniform over all classes but the target
    other = (target + int(rng.integers(1, len(scores)))) % len(scores) if len(scores) > 1 else target
    others = maps_by_method(net, x, other, settings)
    fits = randomised.fits
    pairs = None if fits is None else [maps_by_method(fit, x, target, settings) for fit in fits]
    for method in settings:
        similarities[method]["another class"] = _compare(trained[method], others[method])
        permuted = None if pairs is None else _compare(pairs[0][method], pairs[1][method])
        similarities[method]["permuted labels"] = permuted
    return similarities


def _compare(a: AttributionMaps, b: AttributionMaps) -> list[float]:
    """Return the three ``SIMILARITY_MEASURES`` of two methods' maps of one view."""
    ranks = [rank_correlation(*pair) for pair in ((a.map[0], b.map[0]), (a.signed[0], b.signed[0]))]
    # SSIM compares brightness too, and maps of other weights have other scales
    first, second = (m.map[0] / (m.map.max() or 1) for m in (a, b))
    # a map that is the same everywhere has no order, so that nothing of the trained map is left in it
    return [0.0 if np.isnan(rho) else rho for rho in ranks] + [structural_similarity(first, second)]


def cascade_maps(
    net: Network, image: ImageLike, methods: Settings, stage_counts: Sequence[int], seed: int = 0
) -> dict[str, list[tuple[np.ndarray, float]]]:
    """One picture's maps along the cascade, for a figure.

    Parameters
    ----------
    methods : {name: complete settings}
    stage_counts : ints, after how many stages; 0 is the trained net

    Returns
    -------
    maps : {method: list of (map (H, W) in the network's coordinates, absolute rank correlation with the first)}

    """
    net = as_classifier(net)
    x, _ = load_views(net, image, "one")
    target, shuffled = int(net(x).argmax()), shuffle_parameters(net, seed)
    trained = maps_by_method(net, x, target, methods)
    cascade: dict[str, list[tuple[np.ndarray, float]]] = {method: [] for method in methods}
    for count in stage_counts:
        names = [name for stage in stages(net)[:count] for name in stage.parameters]
        maps = maps_by_method(replace_parameters(net, {n: shuffled[n] for n in names}), x, target, methods)
        for method in methods:
            cascade[method].append((maps[method].map[0], _compare(trained[method], maps[method])[0]))
    return cascade
