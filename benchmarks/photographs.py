"""The README's picture of boxes: three that are right and one that is not, each with its truth.

    python benchmarks/photographs.py [--net NAME] [-o notebooks/boxes.png]

The photographs are shipped and free; the true boxes were read off a grid by eye, to 1 or 2 % of the picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import minicnn
from minicnn.evaluate.iou import box_iou
from minicnn.images import load_image
from minicnn.io import catalogue
from minicnn.report import draw_box, panels, save_png

TRUE_BOXES = {
    "koala.jpg": [(63, 156, 401, 545)],
    "panda.jpg": [(130, 35, 532, 364)],
    "coffee.png": [(84, 20, 475, 396)],
    "jaguar.jpg": [(98, 143, 297, 384), (285, 115, 524, 349)],
}
TRUTH = (0, 114, 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="efficientnet-lite0", help="default: %(default)s")
    parser.add_argument("-o", "--output", default="notebooks/boxes.png", help="default: %(default)s")
    arguments = parser.parse_args()
    net = minicnn.load(arguments.net).to("auto")
    views = []
    for name, boxes in TRUE_BOXES.items():
        picture = load_image(catalogue.folder("images") / name)
        (detection,) = minicnn.explain.localise(net, picture, 1)
        overlap = max(box_iou(detection.box, box) for box in boxes)
        drawn = picture
        for box in boxes:
            drawn = draw_box(drawn, box, TRUTH)
        drawn = draw_box(drawn, detection.box, label="")
        verdict = f"{detection.label}: IoU {overlap:.2f}"
        if sum(_holds_centre(detection.box, box) for box in boxes) > 1:
            verdict += ", a failure: two animals, one box"
        height = 160
        small = Image.fromarray(drawn).resize((round(drawn.shape[1] * height / len(drawn)), height))
        views.append((np.asarray(small), verdict))
        print(f"{name}: {detection.label}, box {detection.box}, IoU {overlap:.2f}, {detection.confidence:.0%}")
    save_png(
        panels(views, title="Where the class is, learnt without boxes: answer orange, truth blue"),
        Path(arguments.output),
    )


def _holds_centre(outer: tuple[float, ...], inner: tuple[float, ...]) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= x < outer[2] and outer[1] <= y < outer[3]


if __name__ == "__main__":
    main()
