"""Figure "filters": the filters of a layer as small pictures and, of an image, the maps of the same channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn import explain
from minicnn._utils.colour_names import BOTH_SIGNS
from minicnn._utils.types import ImageLike, PathLike
from minicnn.errors import WeightsError
from minicnn.explain.features.feature_maps import FeatureMaps
from minicnn.explain.features.filters import Filters
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed, draw_photograph, sign_words
from minicnn.network import Network
from minicnn.report import colour_map, contact_sheet
from minicnn.report.drawing import current, signed_map

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_sheet", "recompute", "write_filters"]

PER_ROW, CELL, LARGE = 8, 96, 800
GRID, ROWS, MATRIX = 64, 16, 1024  # how many filters are drawn in a grid, as rows of channels, and as a matrix

Tile: TypeAlias = tuple[np.ndarray, str]


def write_filters(
    path: PathLike,
    filters: Filters | None,
    maps: FeatureMaps | None,
    origin: Mapping[str, Any],
    image: ImageLike | None = None,
    count: int | None = None,
    inputs: int = 8,
) -> dict[str, Any]:
    """Write a sheet as a PNG file, and return what it shows as plain values.

    Parameters
    ----------
    path : Path of the file
    filters : Filters, optional; of one pixel over several channels they are left out where there are maps
    maps : FeatureMaps of the same layer, optional
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    image : what the maps are of
    count : int, optional
        How many channels are drawn: where there are maps the most active ones, else the first. Unless given 64, or
        16 where each filter is a row of its input channels.
    inputs : int, how many input channels of each filter are drawn, the first ones

    Raises
    ------
    WeightsError
        If there are neither filters nor maps.
    ImageError
        If the file can't be written; nothing is left behind.

    """
    if filters is not None and _is_matrix(filters) and maps is not None:
        # a matrix would take the whole sheet
        filters = None
    shown = maps if filters is None else filters
    if shown is None:
        raise WeightsError("write_filters: expected filters or feature maps, got neither")
    channels = _choose_channels(filters, maps, count)
    settings = {"layer": shown.layer, "channels": channels, "inputs": inputs}
    total = len(shown[1])
    which = f"{len(channels)} of {total} channels" if len(channels) < total else f"{total} channels"
    sheet = draw_sheet(filters, maps, channels, shown.layer, f"{origin['name']}, {which}", image, inputs)
    arrays, facts = _name_arrays(filters, maps, settings), _facts(filters, maps, channels)
    images = [] if maps is None else [image]
    record = provenance.make_record("filters", origin, images, None, settings, arrays, **facts)
    provenance.save(sheet, path, record)
    return {
        "net": origin["name"],
        "layer": shown.layer,
        "image": None if maps is None else str(image),
        "filter_shape": None if filters is None else list(filters.weights.shape),
        "in_colour": filters is not None and filters.in_colour,
        "map_shape": None if maps is None else list(maps.maps.shape),
        "channels": channels,
        **facts,
        "figure": str(path),
    }


def draw_sheet(
    filters: Filters | None,
    maps: FeatureMaps | None,
    channels: Sequence[int],
    title: str,
    subtitle: str,
    image: ImageLike | None = None,
    inputs: int = 8,
) -> Image:
    """Draw some channels: filters, the image that maps are of, and its maps, what there is of them."""
    sections = [] if filters is None else [_draw_filters(filters, channels, inputs)]
    if maps is not None:
        view = [[(_draw_view(image, maps), "")]], "the part of the image that the network sees"
        sections += [view, _draw_maps(maps, channels)]
    rows = [row for section, _ in sections for row in section]
    headings = [words if n == 0 else "" for section, words in sections for n in range(len(section))]
    is_matrix = filters is not None and _is_matrix(filters)
    return contact_sheet(rows, headings, title, subtitle, LARGE if is_matrix and maps is None else CELL)


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Return the filters and maps that a record describes."""
    settings, names = record["settings"], record["arrays"]
    filters = explain.filters(net, settings["layer"]) if "filters" in names else None
    maps = explain.feature_maps(net, images[0], settings["layer"]) if "maps" in names else None
    return Recomputed(_name_arrays(filters, maps, settings), _facts(filters, maps, settings["channels"]))


def _choose_channels(filters: Filters | None, maps: FeatureMaps | None, count: int | None) -> list[int]:
    """Return which channels are drawn."""
    as_rows = filters is not None and not _is_one_picture(filters)
    limit = count or (ROWS if as_rows else MATRIX if filters and _is_matrix(filters) else GRID)
    if maps is None:
        assert filters is not None
        return list(range(min(limit, len(filters.weights))))
    peaks = np.abs(maps.maps).max(axis=(1, 2))
    # the most active ones, in the order of their numbers
    return sorted(np.argsort(-peaks, kind="stable")[:limit].tolist())


def _is_one_picture(filters: Filters) -> bool:
    return filters.in_colour or filters.weights.shape[1] == 1 or _is_matrix(filters)


def _is_matrix(filters: Filters) -> bool:
    """Return whether filters of one pixel are drawn together, as rows of a matrix."""
    _, depth, *size = filters.weights.shape
    return size == [1, 1] and depth > 1 and not filters.in_colour


def _draw_filters(filters: Filters, channels: Sequence[int], inputs: int) -> tuple[list[list[Tile]], str]:
    """Return rows of tiles, and what they show."""
    weights = filters.weights[channels]
    _, depth, height, width = weights.shape
    what = f"filters of {height} x {width}"
    if _is_matrix(filters):
        words = f"{what}, a row each, a column for each input channel; {_words(weights)}"
        return [[(_enlarge(_to_colours(weights[:, :MATRIX, 0, 0]), LARGE), "")]], words
    own = f"each by its own largest weight{'' if filters.in_colour else f'; {_words(weights)}'}"
    if _is_one_picture(filters):
        tiles = [(_draw_filter(w, filters.in_colour), str(k)) for k, w in zip(channels, weights, strict=True)]
        return _in_rows(tiles), f"{what}{' in colour' if filters.in_colour else ''}, {own}"
    drawn = min(inputs, depth)
    words = f"{what}, a row each, over {'the first ' if drawn < depth else ''}{drawn} of {depth} input channels"
    # one scale for a filter, whose channels add up
    scaled = [w[:drawn] / (np.abs(w).max() or 1) for w in weights]
    rows = [
        [(_enlarge(_to_colours(plane, 1), CELL), f"{k}, {c}") for c, plane in enumerate(w)]
        for k, w in zip(channels, scaled, strict=True)
    ]
    return rows, f"{words}, {own}"


def _draw_filter(w: np.ndarray, in_colour: bool) -> np.ndarray:
    return _enlarge(_around_grey(w.transpose(1, 2, 0)) if in_colour else _to_colours(w[0]), CELL)


def _draw_view(image: ImageLike | None, maps: FeatureMaps) -> np.ndarray:
    assert image is not None
    photograph = draw_photograph(image)
    scale = photograph.shape[1] / maps.view.image_size[1]
    xmin, ymin, xmax, ymax = (round(edge * scale) for edge in maps.view.box)
    return photograph[ymin : max(ymax, ymin + 1), xmin : max(xmax, xmin + 1)]


def _draw_maps(maps: FeatureMaps, channels: Sequence[int]) -> tuple[list[list[Tile]], str]:
    """Return rows of tiles, and what they show."""
    chosen = maps.maps[channels]
    signed = bool((chosen < 0).any())
    name = signed_map() if signed else None
    tiles = []
    for k, map in zip(channels, chosen, strict=True):
        peak = np.abs(map).max()
        tiles.append((_enlarge(colour_map(map / (peak or 1), name), CELL), f"{k}: {map.max():.3g}"))
    height, width = chosen.shape[1:]
    colours = f"; {sign_words(chosen, 'positive', 'negative')}" if signed else ""
    return _in_rows(tiles), (
        f"feature maps of {height} x {width}, each by its own largest value; below, the channel and its maximum"
        f"{colours}"
    )


def _in_rows(tiles: Sequence[Tile]) -> list[list[Tile]]:
    return [list(tiles[i : i + PER_ROW]) for i in range(0, len(tiles), PER_ROW)]


def _around_grey(values: np.ndarray, scale: float | None = None) -> np.ndarray:
    """Return values around middle grey, the largest of them black or white unless a scale is given."""
    scale = float(np.abs(values).max() or 1) if scale is None else scale
    return np.rint(127.5 + 127.5 * np.clip(values / scale, -1, 1)).astype(np.uint8)


def _to_colours(values: np.ndarray, scale: float | None = None) -> np.ndarray:
    """Return values (h, w) in the colours that were chosen, or else around middle grey."""
    name = current().colour_map
    if not name:
        return _around_grey(values, scale)
    values = values / (float(np.abs(values).max() or 1) if scale is None else scale)
    return colour_map(values if name in BOTH_SIGNS else (values + 1) / 2, name)


def _words(weights: np.ndarray) -> str:
    """Return what the colours of `_to_colours` mean."""
    name = current().colour_map
    if not name:
        return "middle grey is 0, white positive, black negative"
    return sign_words(weights, "positive", "negative") if name in BOTH_SIGNS else f"{name}, its middle is 0"


def _enlarge(pixels: np.ndarray, cell: int) -> np.ndarray:
    """Return a picture enlarged by whole pixels, so that small ones are not blurred."""
    side = max(1, cell // max(pixels.shape[:2]))
    return pixels.repeat(side, 0).repeat(side, 1)


def _name_arrays(
    filters: Filters | None, maps: FeatureMaps | None, settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    channels, arrays = settings["channels"], {}
    if filters is not None:
        arrays["filters"] = filters.weights[channels]
    if maps is not None:
        arrays["maps"] = maps.maps[channels]
    return arrays


def _facts(filters: Filters | None, maps: FeatureMaps | None, channels: Sequence[int]) -> dict[str, list[float]]:
    """Return the largest weight of each filter that is drawn, and the largest value of each map."""
    facts = {}
    if filters is not None:
        facts["largest_weights"] = np.abs(filters.weights[channels]).max(axis=(1, 2, 3)).tolist()
    if maps is not None:
        facts["largest_values"] = maps.maps[channels].max(axis=(1, 2)).tolist()
    return facts
