"""A figure's map computed again from what its record says, and compared with the digest that it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn import explain
from minicnn.errors import ImageError, MinicnnError
from minicnn.evaluate.sanity_checks import cascade_maps
from minicnn.explain.localise import MaskSettings
from minicnn.explain.rules_table import group_by_kind, rules_by_layer
from minicnn.explain.top_images import top_images
from minicnn.figures import provenance
from minicnn.figures.rules import arrays_of, facts_of
from minicnn.images import Preprocess, load_image
from minicnn.io import catalogue, load
from minicnn.io.digest import digest_array, digest_image, digest_network, digest_pixels
from minicnn.network import Network
from minicnn.rules import RULES

__all__ = ["Verdict", "verify"]

# Steps of ascent, and pixels on the longer side of a cut, above which a record is not followed.
MOST_STEPS, MOST_PIXELS = 10_000, 4096
# Largest difference, of the map's maximum, that another device, machine or library explains by rounding.
ROUNDING = 1e-3


class Verdict(NamedTuple):
    """What comes of computing a figure again.

    Attributes
    ----------
    match : bool, the pixels are as written, and every map, label, score and box is the same to within rounding
    difference : float, the largest difference of a map, in parts of its largest value; 0 if bit for bit the same
    sentences : list of str, what was compared and how it came out

    """

    match: bool
    difference: float
    sentences: list[str]


def verify(
    path: str | Path,
    net: Network | None = None,
    images: Sequence[str | Path] | None = None,
    device: str | None = None,
) -> Verdict:
    """Compute a figure's map anew and compare.

    Parameters
    ----------
    path : str or Path of a PNG file that minicnn wrote
    net : Network, optional
        The one that the record names unless given.
    images : paths, optional
        Those that the record names, looked for where they were, beside the figure, here and among the shipped
        ones, and known by their digests, unless given.
    device : str, optional
        Where to compute; the device of the record unless given.

    Returns
    -------
    verdict : Verdict

    Raises
    ------
    ImageError
        If the figure holds no whole record, or an image is not found.
    MinicnnError
        If the network is not found, or the record asks for what can't be computed.

    """
    record = provenance.read(path)
    images = _images(record, Path(path)) if images is None else [Path(image) for image in images]
    try:
        net = _network(record) if net is None else net
        _check_cost(record["settings"], net)
        net = _prepared(net, record, device)
        arrays, facts = _recomputed(record["kind"])(net, images, record)
        compared = [_compared(name, array, record["arrays"][name]) for name, array in arrays.items()]
        difference = max(d for d, _ in compared)
        notes = _strangers(record, net, images) + _taken_on_trust(record)
        wrong = _untrue(facts, record)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, MemoryError) as error:
        if isinstance(error, MinicnnError):
            raise
        raise MinicnnError(f"{path}: its record asks for what can't be computed ({error!r:.200})") from None
    pixels = digest_pixels(load_image(path)) == record.get("pixels")
    notes.append("pixels: as they were written" if pixels else "pixels: changed since they were written")
    notes += [*(sentence for _, sentence in compared), *wrong]
    return Verdict(bool(pixels and difference <= ROUNDING and not wrong), difference, notes)


# what the record names


def _network(record: Mapping[str, Any]) -> Network:
    origin = record["net"]
    if not isinstance(origin.get("source"), str):
        raise MinicnnError(f"the record does not say where {origin.get('name')!r:.80} was loaded from; give --net")
    return load.load(origin["source"], origin.get("weights"), origin.get("architecture"))


def _images(record: Mapping[str, Any], figure: Path) -> list[Path]:
    return [_image(image, figure) for image in record["images"]]


def _image(image: Mapping[str, Any], figure: Path) -> Path:
    name = image.get("name")
    for place in _places(name, figure) if isinstance(name, str) else ():
        if place.is_file() and digest_image(place)["sha256"] == image.get("sha256"):
            return place
    raise ImageError(f"the image {name!r:.200} of the record is not found, or was changed; name it with --image")


def _places(name: str, figure: Path) -> Iterator[Path]:
    """Yield where an image may lie; names of other machines' shares are not asked for."""
    if "\0" in name or name.startswith(("//", "\\\\")):
        return
    yield Path(name)
    yield from (folder / Path(name).name for folder in (figure.parent, Path(), catalogue.folder("images")))


def _prepared(net: Network, record: Mapping[str, Any], device: str | None) -> Network:
    """Return the network on its device, with the preprocessing that the record says."""
    net, preprocess = net.to(device or record["net"]["device"]), record["net"].get("preprocess")
    if preprocess is not None and isinstance(preprocess.get("mean"), list):
        net.preprocess = Preprocess.from_dict(preprocess)
    return net


def _check_cost(settings: Mapping[str, Any], net: Network) -> None:
    climbs = (1 + settings.get("restarts", 0)) * len(settings.get("targets", "1"))
    steps = max(settings.get("steps", 1) * climbs, settings.get("samples", 1))
    steps = max(steps, len(settings.get("stages", ())))
    if settings.get("stride") is not None:
        steps = max(steps, int(np.prod(net.input_shape[1:])) // max(1, settings["stride"]) ** 2)
    pixels = settings.get("settings", {}).get("working_size", 1)
    if steps > MOST_STEPS or pixels > MOST_PIXELS:
        raise MinicnnError(
            f"the record asks for {steps} steps and a cut of {pixels} pixels; --verify follows at most "
            f"{MOST_STEPS:,} and {MOST_PIXELS:,}"
        )


# the maps, anew, and what the figure says in words

Found = tuple[dict[str, np.ndarray], dict[str, Any]]


def _recomputed(kind: str) -> Callable[[Network, list[Path], Mapping[str, Any]], Found]:
    known = {
        "saliency": _saliency,
        "attribution": _attribution,
        "sanity": _sanity,
        "localisation": _localisation,
        "class-model": _class_model,
        "class-models": _class_models,
        "deconvnet": _deconvnet,
        "rules": _rules,
        "three-rules": _three_rules,
    }
    if kind not in known:
        raise MinicnnError(f"a figure of kind {kind!r:.80} is not computed again; {', '.join(known)} are")
    return known[kind]


def _saliency(net: Network, images: list[Path], record: Mapping[str, Any]) -> Found:
    found = explain.saliency(net, images[0], record["class"]["target"], **record["settings"])
    return {"map": found.map}, _words(found)


def _attribution(net: Network, images: list[Path], record: Mapping[str, Any]) -> Found:
    found = explain.attribution(net, images[0], record["class"]["target"], **record["settings"])
    return {"map": found.map}, _words(found) | found.facts


def _sanity(net: Network, images: list[Path], record: Mapping[str, Any]) -> Found:
    settings = dict(record["settings"])
    method, seed, counts = (settings.pop(key) for key in ("method", "seed", "stages"))
    found = [cascade_maps(net, image, {method: settings}, counts, seed)[method] for image in images]
    pairs = ((f"map {n + 1}.{k}", m) for n, row in enumerate(found) for k, (m, _) in enumerate(row))
    return dict(pairs), {}


def _localisation(net: Network, images: list[Path], record: Mapping[str, Any]) -> Found:
    how = dict(record["settings"])
    settings = MaskSettings(**how.pop("settings"))
    (found,) = explain.localise(net, images[0], [record["class"]["target"]], settings=settings, **how)
    return {"map": found.saliency.map, "mask": found.mask}, _words(found) | {"box": found.box}


def _class_model(net: Network, images: list[Path], record: Mapping[str, Any]) -> Found:
    climbed = dict(record["settings"])
    seed, unit, layer = climbed.pop("seed"), climbed.pop("unit", None), climbed.pop("layer", None)
    constraint = climbed.pop("constraint", "l2_penalty")
    settings = explain.Ascent(**climbed)
    if unit is None:
        found = explain.class_model(net, record["class"]["target"], settings=settings, seed=seed)
        facts = {"label": found.label, "score": found.scores[-1], "probability": found.probability}
    else:
        unit = unit if isinstance(unit, int) else tuple(unit)
        found = explain.maximise(net, layer, unit, constraint, settings=settings, seed=seed)
        facts = {"score": found.scores[-1]}
    if images:
        shown = top_images(net, images, layer, found.target if unit is None else unit, len(images))
        facts["values"] = [s.value for s in shown]
    return {"x": found.x}, facts


def _class_models(net: Network, _: list[Path], record: Mapping[str, Any]) -> Found:
    climbed = dict(record["settings"])
    seed, targets = climbed.pop("seed"), climbed.pop("targets")
    settings = explain.Ascent(**climbed)
    models = [explain.class_model(net, target, settings=settings, seed=seed) for target in targets]
    return {f"class {m.target}": m.x for m in models}, {"probabilities": [m.probability for m in models]}


def _deconvnet(net: Network, images: list[Path], record: Mapping[str, Any]) -> Found:
    how = dict(record["settings"])
    places = [None if place is None else tuple(place) for place in how.pop("positions")]
    pairs = zip(images, places, strict=True)
    found = [explain.deconvnet(net, image, position=place, **how) for image, place in pairs]
    return {f"reconstruction {i + 1}": r.x for i, r in enumerate(found)}, {"values": [r.value for r in found]}


def _rules(net: Network, images: list[Path], record: Mapping[str, Any]) -> Found:
    kinds = group_by_kind(rules_by_layer(net, images[0], **record["settings"]))
    return arrays_of(kinds), facts_of(kinds)


def _three_rules(net: Network, images: list[Path], record: Mapping[str, Any]) -> Found:
    target, how = record["class"]["target"], record["settings"]
    found = {rule.name: explain.saliency(net, images[0], target, rule=rule.name, **how) for rule in RULES}
    return {name: one.map for name, one in found.items()}, {"label": found["gradient"].label}


def _words(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("label", "score", "probability")}


# the comparison


def _strangers(record: Mapping[str, Any], net: Network, images: list[Path]) -> list[str]:
    """Return a sentence for whatever is not what the record names."""
    notes = []
    if record["minicnn"] != minicnn.__version__:
        notes.append(f"minicnn: {record['minicnn']:.40} wrote the figure, this is {minicnn.__version__}")
    ours = digest_network(net)
    if ours["sha256"] != record["net"].get("sha256"):
        notes.append(f"net: {net.name} is not the one of the record")
    if json.loads(json.dumps(ours["preprocess"])) != record["net"].get("preprocess"):
        notes.append("preprocessing: not that of the record, which a mean image alone can't restore; see --mean")
    if net.device != record["net"]["device"]:
        notes.append(f"device: {net.device}, and the record's is {record['net']['device']!s:.40}")
    found = [digest_image(image)["sha256"] for image in images]
    if found != [image.get("sha256") for image in record["images"]]:
        notes.append("image: not the one of the record")
    return notes


def _taken_on_trust(record: Mapping[str, Any]) -> list[str]:
    """Return a sentence for what a figure says and its record can't prove."""
    result = record.get("result", {})
    if not isinstance(result.get("searched"), int) or not isinstance(result.get("values"), list):
        return []
    shown, searched = len(result["values"]), result["searched"]
    return [
        f"not computed again: that these {shown} are the strongest of {searched} images, the others not being kept"
    ]


def _untrue(facts: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each fact that the record states otherwise; a box may move by two pixels."""
    said, wrong = {**record.get("result", {}), "label": (record.get("class") or {}).get("label")}, []
    for name, fact in facts.items():
        if name == "label":
            same = fact == said[name]
        else:
            room = 2 if name == "box" else ROUNDING * max(1, np.abs(fact).max())
            same = np.shape(fact) == np.shape(said[name]) and np.abs(np.subtract(fact, said[name])).max() <= room
        if not same:
            wrong.append(f"{name}: {fact!r:.60}, and the record says {said[name]!r:.60}")
    return wrong


def _compared(name: str, array: np.ndarray, recorded: Mapping[str, Any]) -> tuple[float, str]:
    """Largest difference, in parts of the largest value, and a sentence."""
    again = digest_array(array)
    if again["sha256"] == recorded["sha256"]:
        return 0.0, f"{name}: match, bit for bit"
    if again["shape"] != recorded["shape"] or len(again["coarse"]) != len(recorded["coarse"]):
        return np.inf, f"{name}: differs, of shape {again['shape']} where the record has {recorded['shape']!r:.60}"
    scales = np.array([[again["scale"]], [recorded["scale"]]], np.float64)
    ours, theirs = np.array([again["coarse"], recorded["coarse"]], np.float64) * scales / 1e4
    difference = float(np.abs(ours - theirs).max() / (scales.max() or 1))
    word = "match, but for rounding" if difference <= ROUNDING else "differs"
    return difference, f"{name}: {word}, by up to {difference:.2%} of its largest value over a grid of blocks"
