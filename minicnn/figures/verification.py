"""A figure's map computed anew from what its record says, and compared with the digest that it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn._utils.counted import counted
from minicnn._utils.types import PathLike
from minicnn.errors import ImageError, MinicnnError
from minicnn.explain.integrated_gradients import EXACT
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed
from minicnn.figures.kinds import RECOMPUTE
from minicnn.images import Preprocess, load_image
from minicnn.io import catalogue, load
from minicnn.io.digest import digest_array, digest_image, digest_network, digest_pixels
from minicnn.network import Network

__all__ = ["Verdict", "verify_figure"]

# Steps of ascent, and pixels on the longer side of a cut, above which a record is not followed.
MAX_STEPS, MAX_PIXELS = 10_000, 4096
EXACT_STEPS = 10  # times 1 / tolerance: about as many segments do exact integrated gradients take
# Largest difference, of the map's maximum, that another device, machine or library explains by rounding.
ROUNDING = 1e-3


class Verdict(NamedTuple):
    """What comes of computing a figure anew.

    Attributes
    ----------
    match : bool, the pixels are as written, and every map, label, score and box is the same to within rounding
    difference : float, the largest difference of a map, in parts of its largest value; 0 if bit for bit the same
    sentences : list of str, what was compared and how it came out

    """

    match: bool
    difference: float
    sentences: list[str]


def verify_figure(
    path: PathLike,
    net: Network | None = None,
    images: Sequence[PathLike] | None = None,
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

    See Also
    --------
    minicnn.figures.provenance.read : the record itself

    Examples
    --------
    >>> import tempfile
    >>> from minicnn.explain import saliency
    >>> from minicnn.figures.saliency import write_saliency
    >>> net, image = minicnn.load("digits").to("reference"), catalogue.folder("images") / "seven.png"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     figure = Path(folder, "seven.saliency.png")
    ...     _ = write_saliency(figure, image, saliency(net, image, crops="one"), digest_network(net, "digits"))
    ...     verdict = verify_figure(figure)
    >>> verdict.match, verdict.sentences
    (True, ['pixels: as they were written', 'map: match, bit for bit'])

    """
    record = provenance.read(path)
    images = _find_images(record, Path(path)) if images is None else [Path(image) for image in images]
    try:
        net = _load_network(record, Path(path)) if net is None else net
        # before anything is computed: whoever made the file wrote the settings
        _check_cost(record["settings"], net)
        net = _prepare(net, record, device)
        recomputed = _recompute(net, images, record)
        comparisons = [_compare(name, a, record["arrays"][name]) for name, a in recomputed.arrays.items()]
        difference = max(d for d, _ in comparisons)
        sentences = _list_substitutes(record, net, images) + _list_unverified(record)
        false = _list_false_facts(recomputed.facts, record)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, MemoryError) as error:
        # a damaged or forged record may raise any of the others; our own errors say what is wrong
        if isinstance(error, MinicnnError):
            raise
        raise MinicnnError(f"{path}: its record asks for what can't be computed ({error!r:.200})") from None
    # the map may be right and the picture drawn over: the pixels have a digest of their own
    pixels = digest_pixels(load_image(path)) == record.get("pixels")
    sentences.append("pixels: as they were written" if pixels else "pixels: changed since they were written")
    sentences += [*(sentence for _, sentence in comparisons), *false]
    return Verdict(bool(pixels and difference <= ROUNDING and not false), difference, sentences)


# what the record names


def _load_network(record: Mapping[str, Any], figure: Path) -> Network:
    origin = dict(record["net"])
    if not isinstance(origin.get("source"), str):
        raise MinicnnError(f"the record does not say where {origin.get('name')!r:.80} was loaded from; give --net")
    for name in ("source", "weights"):
        if isinstance(origin.get(name), str):
            # as seen from the figure, beside it, or here; what is no file is a name of the catalogue
            files = (path for path in _candidates(origin[name], figure) if path.is_file())
            origin[name] = next(files, origin[name])
    size = origin.get("input_size")
    return load.load(
        origin["source"],
        origin.get("weights"),
        origin.get("architecture"),
        origin.get("entry"),
        input=origin.get("input"),
        output=origin.get("output"),
        input_size=None if size is None else (int(size[0]), int(size[1])),
        head=origin.get("head"),
    )


def _find_images(record: Mapping[str, Any], figure: Path) -> list[Path]:
    return [_find_image(image, figure) for image in record["images"]]


def _find_image(image: Mapping[str, Any], figure: Path) -> Path:
    name = image.get("name")
    for path in _candidates(name, figure) if isinstance(name, str) else ():
        # a file of the same name may be another picture
        if path.is_file() and digest_image(path)["sha256"] == image.get("sha256"):
            return path
    raise ImageError(f"the image {name!r:.200} of the record is not found, or was changed; name it with --image")


def _candidates(name: str, figure: Path) -> Iterator[Path]:
    """Yield where an image may lie; names of other machines' shares are not asked for."""
    if "\0" in name or name.startswith(("//", "\\\\")):
        return
    yield from (figure.parent / name, Path(name))
    yield from (folder / Path(name).name for folder in (figure.parent, Path(), catalogue.folder("images")))


def _prepare(net: Network, record: Mapping[str, Any], device: str | None) -> Network:
    """Return the network on its device, with the preprocessing that the record says."""
    net, preprocess = net.to(device or record["net"]["device"]), record["net"].get("preprocess")
    # of a mean image the record has the digest alone: only a list, a mean for each channel, can be restored
    if preprocess is not None and isinstance(preprocess.get("mean"), list):
        net.preprocess = Preprocess.from_dict(preprocess)
    return net


def _check_cost(settings: Mapping[str, Any], net: Network) -> None:
    """Refuse a record, which anybody may have written, that would compute for hours."""
    # "1" stands for the single target of a record that lists none
    ascents = (1 + settings.get("restarts", 0)) * len(settings.get("targets", "1"))
    steps = settings.get("steps", 1)
    if steps == EXACT:
        # the number of segments grows about as fast as the tolerance falls
        steps = round(EXACT_STEPS / max(settings.get("tolerance", 0.0), 1 / MAX_STEPS))
    steps = max(steps * ascents, settings.get("samples", 1))
    steps = max(steps, len(settings.get("stages", ())))
    if settings.get("stride") is not None:
        # occlusion: one forward pass for each place of the window
        pixels_in = int(np.prod(net.input_shape[1:]))  # type: ignore[index]  # for None, see verify_figure's except
        steps = max(steps, pixels_in // max(1, settings["stride"]) ** 2)
    pixels = settings.get("settings", {}).get("working_size", 1)
    if steps > MAX_STEPS or pixels > MAX_PIXELS:
        raise MinicnnError(
            f"the record asks for {steps} steps and a cut of {pixels} pixels; --verify follows at most "
            f"{MAX_STEPS:,} and {MAX_PIXELS:,}"
        )


def _recompute(net: Network, images: list[Path], record: Mapping[str, Any]) -> Recomputed:
    kind = record["kind"]
    if kind not in RECOMPUTE:
        raise MinicnnError(f"a figure of kind {kind!r:.80} is not computed again; {', '.join(RECOMPUTE)} are")
    return RECOMPUTE[kind](net, images, record)


# the comparison


def _list_substitutes(record: Mapping[str, Any], net: Network, images: list[Path]) -> list[str]:
    """Return a sentence for whatever is not what the record names."""
    sentences = []
    if record["minicnn"] != minicnn.__version__:
        sentences.append(f"minicnn: {record['minicnn']:.40} wrote the figure, this is {minicnn.__version__}")
    ours = digest_network(net)
    if ours["sha256"] != record["net"].get("sha256"):
        sentences.append(f"net: {net.name} is not the one of the record")
    # through JSON, which makes lists of tuples, as it did with the record's
    if json.loads(json.dumps(ours["preprocess"])) != record["net"].get("preprocess"):
        sentences.append(
            "preprocessing: not that of the record, which a mean image alone can't restore; see --mean"
        )
    if net.device != record["net"]["device"]:
        sentences.append(f"device: {net.device}, and the record's is {record['net']['device']!s:.40}")
    digests = [digest_image(image)["sha256"] for image in images]
    if digests != [image.get("sha256") for image in record["images"]]:
        sentences.append("image: not the one of the record")
    return sentences


def _list_unverified(record: Mapping[str, Any]) -> list[str]:
    """Return a sentence for what a figure says and its record can't prove."""
    result = record.get("result", {})
    if not isinstance(result.get("searched"), int) or not isinstance(result.get("values"), list):
        return []
    shown, searched = len(result["values"]), counted(result["searched"], "image")
    return [f"not computed again: that these {shown} are the strongest of {searched}, the others not being kept"]


def _list_false_facts(facts: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each fact that the record states otherwise; a box may move by two pixels."""
    stated = {**record.get("result", {}), "label": (record.get("class") or {}).get("label")}
    return [
        f"{name}: {fact!r:.60}, and the record says {stated[name]!r:.60}"
        for name, fact in facts.items()
        if not _agree(name, fact, stated[name])
    ]


def _agree(name: str, fact: Any, stated: Any) -> bool:
    if name == "label":
        return bool(fact == stated)
    # relative to the largest value above 1, absolute below
    tolerance = 2 if name == "box" else ROUNDING * max(1, np.abs(fact).max())
    return np.shape(fact) == np.shape(stated) and bool(np.abs(np.subtract(fact, stated)).max() <= tolerance)


def _compare(name: str, array: np.ndarray, recorded: Mapping[str, Any]) -> tuple[float, str]:
    """Return the largest difference, in parts of the largest value, and a sentence."""
    ours = digest_array(array)
    if ours["sha256"] == recorded["sha256"]:
        return 0.0, f"{name}: match, bit for bit"
    if ours["shape"] != recorded["shape"] or len(ours["coarse"]) != len(recorded["coarse"]):
        return np.inf, f"{name}: differs, of shape {ours['shape']} where the record has {recorded['shape']!r:.60}"
    # block means are stored as ten-thousandths of each map's own largest value: (2, 1) scales, (2, B) means
    scales = np.array([[ours["scale"]], [recorded["scale"]]], np.float64)
    a, b = np.array([ours["coarse"], recorded["coarse"]], np.float64) * scales / 1e4
    difference = float(np.abs(a - b).max() / (scales.max() or 1))
    word = "match, but for rounding" if difference <= ROUNDING else "differs"
    return difference, f"{name}: {word}, by up to {difference:.2%} of its largest value over a grid of blocks"
