"""MaxBoxAccV2 beside OpenCV's contours, as its published code finds them: every level of every map.

python benchmarks/max_box_acc.py [DATA] [--images N]        (pip install opencv-python-headless)

DATA is a labelled folder, as for ``minicnn evaluate localisation``, whose gradients' maps are compared; without it
200 random maps are.  Prints the largest difference of an IoU, and exits with 1 unless it is 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

import minicnn
from minicnn.evaluate.dataset import read_dataset, read_truth
from minicnn.evaluate.datasets.class_names import ClassNames
from minicnn.evaluate.max_box_acc import LEVELS, SIDE, best_ious, quantise
from minicnn.explain import saliency
from minicnn.images import load_image
from minicnn.images.gaussian_blur import gaussian_blur

Maps = Iterator[tuple[np.ndarray, Sequence[Sequence[float]]]]


def random_maps(count: int = 200) -> Maps:
    """Yield blurred noise, and one or two true boxes."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        shape = rng.integers(40, 300, 2)
        low, high = np.sort(rng.random((2, rng.integers(1, 3), 2)), axis=0)
        boxes = np.concatenate([low, np.minimum(high + 0.1, 1)], axis=1) * np.tile(shape[::-1], 2)
        yield gaussian_blur(rng.random(tuple(shape)), float(rng.uniform(0.5, 12))), boxes.tolist()


def maps_of(folder: Path, count: int | None) -> Maps:
    """Yield maps of the right class of EfficientNet-Lite0, and the true boxes."""
    net = minicnn.load("efficientnet-lite0").to("auto")
    for example in read_dataset(folder, classes=ClassNames.of_network(net))[:count]:
        picture = load_image(example.image)
        map = saliency(net, picture, example.classes[0]).map
        yield gaussian_blur(map, max(map.shape) / 43), read_truth(example, picture.size[::-1]).boxes


def published_ious(map: np.ndarray, boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the best IoU at each level: boxes around OpenCV's contours, whose last pixels count."""
    scale = np.array([SIDE / map.shape[1], SIDE / map.shape[0]] * 2)
    truth, steps = (np.array(boxes) * scale).astype(int), quantise(map)
    ious = np.zeros(LEVELS)
    for level in sorted({int(threshold * 255) for threshold in np.arange(0, 1, 0.001)}):
        above = cv2.threshold(steps, level, 255, cv2.THRESH_BINARY)[1]
        contours = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        rectangles = [cv2.boundingRect(contour) for contour in contours]
        around = [(x, y, min(x + w, SIDE - 1), min(y + h, SIDE - 1)) for x, y, w, h in rectangles]
        ious[level] = max((iou(box, own) for box in around for own in truth), default=0.0)
    return ious


def iou(a: Sequence[int], b: Sequence[int]) -> float:
    """Intersection over union of boxes whose last pixels count."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    intersection = max(0, width) * max(0, height)
    return intersection / (sum(areas) - intersection)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--images", type=int)
    arguments = parser.parse_args()
    maps = random_maps() if arguments.data is None else maps_of(arguments.data, arguments.images)
    differences = [float(np.abs(best_ious(map, boxes) - published_ious(map, boxes)).max()) for map, boxes in maps]
    print(f"{len(differences)} maps, {LEVELS} levels each: largest difference of an IoU {max(differences):g}")
    return int(max(differences) > 0)


if __name__ == "__main__":
    sys.exit(main())
