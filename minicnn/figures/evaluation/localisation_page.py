"""Pages of an evaluation of boxes: every picture with its map, seeds, mask, box and truth, sorted by IoU."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.evaluate.dataset import Box, Example, read_truth
from minicnn.evaluate.localisation import Drawing
from minicnn.evaluate.localisation_result import LOCALISATION_MEASURES, PER_CENT, Evaluation
from minicnn.explain.localise import saliency_seeds
from minicnn.figures.common import draw_map
from minicnn.images import load_image
from minicnn.report import Section, draw_box, normalise, overlay, write_page
from minicnn.report.files import make_folder, sanitise_filename, write_atomically
from minicnn.report.page_pictures import describe_row
from minicnn.segmentation.graph_cut import resize_mask

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["ORDERS", "write_answer", "write_localisation_pages"]

TRUTH, DETECTION, BACKGROUND = (0, 114, 255), (255, 140, 0), (0, 114, 255)
SIDE = 240  # longest side in pixels of each of the four views of a picture
GAP = 4
LIMIT = 500  # pictures of a page
ORDERS = ("worst first", "best first", "by name")
LEGEND = (
    "The photograph has the true boxes in blue and the answer's in orange; of the seeds the object's are orange "
    "and the background's blue. IoU: intersection over union of the answer's box with the nearest true one."
)


def write_answer(folder: PathLike, drawing: Drawing) -> None:
    """Write the views of an answer side by side as one small JPEG file: photograph, map, seeds if any, mask.

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    answer = drawing.answer
    photograph, scale = _shrink(drawing.picture)
    views = {"photograph": _draw_boxes(photograph, scale, drawing.example.boxes, answer.box)}
    saliency = draw_map(answer.saliency.placed)
    if saliency.max() > saliency.min():
        views["map"] = overlay(photograph, normalise(_shrink_map(saliency, photograph)))
        if answer.settings is not None:
            seeds = saliency_seeds(saliency, answer.settings)
            views["seeds"] = _draw_seeds(photograph, [_shrink_map(s, photograph) > 0.5 for s in seeds])
        elif answer.candidates:
            views["boxes of all cuts"] = _draw_candidates(photograph, scale, answer.candidates)
    if answer.mask is not None:
        inside = _shrink_map(resize_mask(answer.mask, saliency.shape), photograph)[..., None] > 0.5
        cut = np.where(inside, photograph, 255 - (255 - photograph.astype(int)) // 5)
        views["mask"] = cut.astype(np.uint8)
    _write_views(_path(Path(folder), drawing.example), views)


def write_localisation_pages(folder: PathLike, evaluation: Evaluation, name: str) -> list[Path]:
    """Write three pages, the worst boxes first, the best first, and by name; return their paths.

    They need the pictures that ``write_answer`` wrote; where one is missing, the photograph with its boxes is
    written in its place.

    Parameters
    ----------
    folder : of the pages; the pictures are in ``<method>-pictures``
    evaluation : Evaluation
    name : of the network

    Raises
    ------
    ImageError
        If a file can't be written.

    """
    folder = Path(folder)
    pictures = folder / f"{evaluation.method}-pictures"
    make_folder(pictures)
    pages = [folder / f"{evaluation.method}{end}.html" for end in ("", "-best-first", "-by-name")]
    links = [(order, page.name) for order, page in zip(ORDERS, pages, strict=True)]
    entries = list(zip(evaluation.examples, evaluation.rows, strict=True))
    # stable sorts, so that pictures with equal boxes come in the same order each time
    worst = sorted(entries, key=lambda entry: entry[1]["iou"])
    best = sorted(entries, key=lambda entry: -entry[1]["iou"])
    by_name = sorted(entries, key=lambda entry: entry[1]["image"])
    for order, page, chosen in zip(ORDERS, pages, (worst, best, by_name), strict=True):
        title = f"{name}, method {evaluation.method}: every picture, {order}"
        shown = chosen[:LIMIT]
        figures = [(_existing(pictures, example, row), *_describe(example, row)) for example, row in shown]
        rest = f" Shown are {LIMIT} of {len(chosen)} pictures." if len(chosen) > LIMIT else ""
        summary = Section(
            "Figures",
            evaluation.text().splitlines()[len(evaluation.estimates) + 2 :],
            table=_table(evaluation),
            links=links,
        )
        write_page(page, title, [summary, Section(f"Pictures, {order}", (LEGEND + rest,), figures)])
    return pages


def _describe(example: Example, row: dict[str, Any]) -> tuple[str, str]:
    """Return the alternative text of a picture, and its caption."""
    label = f"{row['label']} ({row['target']})" if row.get("label") else f"class {row['target']}"
    seen = "top 1" if row["top1"] else "top 5" if row["top5"] else "not in the top 5"
    box = "no box" if row["box"] is None else f"box {row['box']}"
    mask = "" if row["mask_iou"] is None else f"; mask IoU {row['mask_iou']:.2f}"
    notes = "".join(f"; {message}" for message in row["warnings"])
    truth = ", ".join(str([round(side) for side in example_box]) for example_box in example.boxes)
    sure = "" if row["confidence"] is None else f", confidence {row['confidence']:.0%}"
    caption = f"IoU {row['iou']:.2f}: {row['image']}, {label}, {seen}; {box}{sure}, truth {truth}{mask}{notes}"
    return f"Photograph with boxes, map, seeds and mask of {row['image']}", caption


def _table(evaluation: Evaluation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (name, *(own[m].text(m in PER_CENT) if m in own else "-" for m in LOCALISATION_MEASURES))
        for name, own in evaluation.estimates.items()
    ]
    return ("answer", *LOCALISATION_MEASURES), rows


# pictures


def _path(folder: Path, example: Example) -> Path:
    """Return the file of an example's views; of pictures of one name each has its own."""
    digest = hashlib.sha256(f"{example.image} {example.classes}".encode()).hexdigest()[:8]
    return folder / f"{sanitise_filename(example.image.stem)}-{digest}.jpg"


def _existing(folder: Path, example: Example, row: dict[str, Any]) -> Path:
    """Return the file of an example's views; where there is none, of the photograph with its boxes."""
    path = _path(folder, example)
    if not path.is_file():
        picture = load_image(example.image)
        photograph, scale = _shrink(picture)
        truth = read_truth(example, picture.size[::-1]).boxes
        _write_views(path, {"photograph": _draw_boxes(photograph, scale, truth, row["box"])})
    return path


def _draw_boxes(
    photograph: np.ndarray, scale: float, truth: Sequence[Box], box: Sequence[float] | None
) -> np.ndarray:
    entries = [*((own, TRUTH) for own in truth), *([] if box is None else [(box, DETECTION)])]
    for sides, colour in entries:
        # outwards, so that of the smallest box a pixel is left
        low, high = np.floor(np.multiply(sides[:2], scale)), np.ceil(np.multiply(sides[2:], scale))
        photograph = draw_box(photograph, [*low, *high], colour)
    return photograph


def _draw_seeds(photograph: np.ndarray, seeds: Sequence[np.ndarray]) -> np.ndarray:
    painted = np.repeat(photograph.mean(axis=2, keepdims=True), 3, axis=2)
    for pixels, colour in zip(seeds, (DETECTION, BACKGROUND), strict=True):
        painted[pixels] = 0.5 * painted[pixels] + 0.5 * np.array(colour)
    return painted.astype(np.uint8)


def _draw_candidates(photograph: np.ndarray, scale: float, boxes: Sequence[Sequence[float]]) -> np.ndarray:
    grey = np.repeat(photograph.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    for box in boxes:
        grey = draw_box(grey, [side * scale for side in box], DETECTION)
    return grey


def _shrink(picture: Picture) -> tuple[np.ndarray, float]:
    """Return a photograph whose longer side is at most SIDE, and its scale."""
    from PIL import Image

    scale = min(1.0, SIDE / max(picture.size))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR)), scale


def _shrink_map(map: np.ndarray, photograph: np.ndarray) -> np.ndarray:
    """Return a map of the size of a photograph."""
    from PIL import Image

    size = photograph.shape[1::-1]
    return np.asarray(Image.fromarray(map.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))


def _write_views(path: Path, views: dict[str, np.ndarray]) -> None:
    """Write views of one size side by side, by their captions; a page shows each by itself."""
    from PIL import Image

    height, width, _ = views["photograph"].shape
    gap = np.full((height, GAP, 3), 255, np.uint8)
    row = np.concatenate([part for view in views.values() for part in (view, gap)][:-1], axis=1)
    data = io.BytesIO()
    Image.fromarray(row).save(data, "JPEG", quality=85, comment=describe_row((width, height), list(views)))
    write_atomically(path, data.getvalue(), "write_answer")
