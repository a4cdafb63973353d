"""MaxBoxAccV2 against a slow reading of its publication: flood fill, every threshold, every pair of boxes."""

import numpy as np
import pytest

from minicnn.evaluate.confidence import bootstrap_mean, bootstrap_statistic
from minicnn.evaluate.iou import box_iou, box_ious
from minicnn.evaluate.max_box_acc import IOUS, LEVELS, SIDE, best_ious, max_box_acc
from minicnn.segmentation.components import bounding_box, component_boxes, largest_component

RNG = np.random.default_rng(0)


AROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
BESIDE = [(-1, 0), (1, 0), (0, -1), (0, 1)]


def flood(mask, steps=AROUND):
    """Boxes of the connected components, one pixel after the other."""
    left, boxes = {(int(r), int(c)) for r, c in zip(*np.nonzero(mask), strict=True)}, []
    while left:
        stack, part = [min(left)], []
        left.remove(stack[0])
        while stack:
            row, column = stack.pop()
            part.append((row, column))
            for other in [(row + i, column + j) for i, j in steps]:
                if other in left:
                    left.remove(other)
                    stack.append(other)
        rows, columns = zip(*part, strict=True)
        boxes.append((min(columns), min(rows), max(columns) + 1, max(rows) + 1))
    return boxes


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 1.0])
def test_boxes_of_components(share):
    for shape in ((1, 1), (1, 9), (12, 17), (30, 8)):
        mask = RNG.random(shape) < share
        boxes = [tuple(box) for box in component_boxes(mask).tolist()]
        assert boxes == flood(mask)
        assert [tuple(box) for box in component_boxes(mask, corners=False).tolist()] == flood(mask, BESIDE)
        if boxes:
            assert bounding_box(largest_component(mask)) in boxes


def test_ious_of_all_pairs():
    a, b = (np.sort(RNG.integers(0, 9, (n, 2, 2)), axis=1).reshape(n, 4) for n in (5, 7))
    a[:, 2:] += 1
    b[:, 2:] += 1
    expected = [[box_iou(x, y) for y in b] for x in a]
    np.testing.assert_allclose(box_ious(a, b), expected, rtol=1e-15)


BLOCK = SIDE // 7


def published_iou(box, truth):
    """IoU of a box of the map with a true one, as the published code has it: sides whose last pixel counts."""
    a, b = [box[0], box[1], min(box[2], SIDE - 1), min(box[3], SIDE - 1)], [int(side) for side in truth]
    width, height = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    area_a, area_b = ((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b))
    intersection = max(0, width) * max(0, height)
    return intersection / (area_a + area_b - intersection)


def test_the_best_box_at_each_threshold():
    # blocks, so that the slow reading has 49 of them; of the measure's own size, so that nothing is resized
    coarse, truth = RNG.random((7, 7)), [(20.7, 30.0, 100.0, 90.0), (150.0, 0.0, 224.0, 224.0)]
    ious = best_ious(np.kron(coarse, np.ones((BLOCK, BLOCK))), truth)
    steps = ((coarse - coarse.min()) / (coarse.max() - coarse.min()) * 255).astype(np.uint8)
    levels = set()
    # the publication's thresholds are 0.001 apart, and compared with a map of 256 steps
    for threshold in np.arange(0, 1, 0.001):
        level = int(threshold * steps.max())
        levels.add(level)
        boxes = [[BLOCK * side for side in box] for box in flood(steps > level)]
        for left, top, right, bottom in flood(steps <= level, BESIDE):
            if left > 0 and top > 0 and right < 7 and bottom < 7:
                boxes.append([BLOCK * left - 1, BLOCK * top - 1, BLOCK * right + 1, BLOCK * bottom + 1])
        expected = max(published_iou(box, own) for box in boxes for own in truth)
        assert ious[level] == pytest.approx(expected)
    assert levels == set(range(LEVELS))


def test_a_map_of_another_size_has_its_boxes_scaled():
    map, box = np.zeros((112, 448)), (64, 20, 320, 90)
    map[box[1] : box[3], box[0] : box[2]] = 1
    assert best_ious(map, [box])[LEVELS // 2] > 0.97


def test_a_flat_map_has_no_box():
    assert not best_ious(np.full((5, 6), 0.3), [(0, 0, 6, 5)]).any()


def test_the_accuracy_at_the_best_level_of_each_iou():
    ious, groups = RNG.random((40, LEVELS)), np.repeat(np.arange(20), 2)
    result = max_box_acc(ious, groups)
    best = {iou: max(np.mean([row[level] >= iou for row in ious]) for level in range(LEVELS)) for iou in IOUS}
    assert {iou: e.value for iou, e in result.accuracies.items()} == pytest.approx(best)
    assert result.value.value == pytest.approx(np.mean(list(best.values())))
    for iou, level in result.levels.items():
        assert np.mean(ious[:, round(level * LEVELS)] >= iou) == pytest.approx(best[iou])
    for estimate in (result.value, *result.accuracies.values()):
        assert 0 <= estimate.low <= estimate.high <= 1
    assert max_box_acc(ious, groups) == result and "at IoU 0.7" in result.text()


def test_the_bootstrap_of_a_statistic_of_one_share_is_that_of_the_mean():
    hits, groups = RNG.random(60) < 0.4, np.arange(60) // 3
    of_statistic = bootstrap_statistic(hits[:, None], groups, lambda shares: float(shares[0]))
    of_mean = bootstrap_mean(hits.astype(float), groups)
    assert (of_statistic.low, of_statistic.high) == pytest.approx((of_mean.low, of_mean.high))
    assert np.isnan(bootstrap_statistic(hits[:, None], 0 * groups, lambda shares: 0.5).low)
