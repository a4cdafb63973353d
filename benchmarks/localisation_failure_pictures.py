"""Pictures of the kinds of failure, on photographs with a free licence: before and now.

python benchmarks/localisation_failure_pictures.py [--animals FOLDER] [-o FOLDER]

Needs scikit-image for its photographs, and for the others a folder of animals from Debian's gcompris-qt-data 3.1:
``koala.webp`` and ``dog.webp`` (explore_farm_animals), both in the public domain; without it they are left out.

In each picture the upper row has the settings chosen on composites, the lower one today's: true box green
and box orange, seeds of the object orange and of the background blue, what the cut keeps in colour.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from failure_kinds import AFTER, BEFORE, area, cut, kind_of, true_class_map
from PIL import Image
from skimage import data

import minicnn
from minicnn.evaluate.dataset import Example
from minicnn.explain.localise import MaskSettings, saliency_seeds
from minicnn.figures.localisation import BACKGROUND, OBJECT
from minicnn.report.overlay import draw_box
from minicnn.segmentation.components import bounding_box, largest_component

FOLDER = Path(__file__).parents[1] / "docs" / "measurements" / "localisation_failures"
WIDTH = 300
TRUE = (0, 158, 115)
# class as ILSVRC numbers them, and the box, drawn by eye, in a picture of at most 741 pixels
PHOTOGRAPHS = {
    "chelsea": (285, (10, 0, 451, 300)),
    "coffee": (967, (76, 18, 483, 392)),
    "rocket": (657, (306, 127, 346, 427)),
    "motorcycle": (665, (93, 88, 686, 452)),
    "astronaut": (560, (277, 343, 512, 512)),
    "dog.webp": (235, (25, 17, 568, 456)),
    "koala.webp": (105, (65, 152, 403, 552)),
}


def photograph(name: str, animals: Path | None) -> Image.Image | None:
    """One of the photographs; those of animals are reduced to 640 pixels, None without their folder."""
    if name.endswith(".webp"):
        if animals is None:
            return None
        picture = Image.open(animals / name).convert("RGB")
        picture.thumbnail((640, 640))
        return picture
    return Image.fromarray(data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)())


def row(example: Example, map: np.ndarray, settings: MaskSettings) -> list[np.ndarray]:
    """Boxes, seeds and what the cut keeps: three pictures (H, W, 3)."""
    image = np.asarray(Image.open(example.image).convert("RGB"))
    pixels = cut(example, map, settings)
    boxes = draw_box(image, example.boxes[0], TRUE)
    boxes = draw_box(boxes, bounding_box(largest_component(pixels)), OBJECT)
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    seeds = grey.copy()
    for marked, colour in zip(saliency_seeds(map, settings), (OBJECT, BACKGROUND), strict=True):
        seeds[marked] = 0.4 * seeds[marked] + 0.6 * np.array(colour)
    kept = np.where(pixels[..., None], image, 255 - (255 - grey) * 0.15)
    return [boxes, seeds.astype(np.uint8), kept.astype(np.uint8)]


def sheet(rows: list[list[np.ndarray]]) -> Image.Image:
    """Rows of pictures of one size, reduced to ``WIDTH``, with a gap of 6 pixels."""
    height = round(WIDTH * rows[0][0].shape[0] / rows[0][0].shape[1])
    page = Image.new("RGB", (len(rows[0]) * (WIDTH + 6) - 6, len(rows) * (height + 6) - 6), "white")
    for y, pictures in enumerate(rows):
        for x, picture in enumerate(pictures):
            tile = Image.fromarray(picture).resize((WIDTH, height), Image.Resampling.LANCZOS)
            page.paste(tile, (x * (WIDTH + 6), y * (height + 6)))
    return page


def main() -> None:
    """Write a JPEG of each photograph, and print its kinds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=FOLDER)
    parser.add_argument("--animals", type=Path, help="folder of the photographs of animals")
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    net = minicnn.load("efficientnet-lite0").to("auto")
    for name, (target, box) in PHOTOGRAPHS.items():
        picture = photograph(name, arguments.animals)
        if picture is None:
            continue
        source = folder / f"{Path(name).stem}.png"
        picture.save(source)
        example = Example(source, (target,), (box,))
        map = true_class_map(net, example)
        rows = [row(example, map, settings) for settings in (BEFORE, AFTER)]
        sheet(rows).save(source.with_suffix(".jpg"), quality=85)
        size = area(box) / map.size
        print(f"{name}, true box {size:.0%}:", *(kind_of(example, map, s) for s in (BEFORE, AFTER)), sep="\n  ")
        source.unlink()


if __name__ == "__main__":
    main()
