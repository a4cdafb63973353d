"""Confusion matrices, measures of classes and calibration errors, against loops and numbers worked out by hand."""

import numpy as np
import pytest

from minicnn.errors import ShapeError
from minicnn.evaluate.classification.confusion import confusion_matrix, most_confused, per_class
from minicnn.evaluate.classification.reliability import reliability
from minicnn.evaluate.confidence import wilson

RNG = np.random.default_rng(0)


def test_the_matrix_counts_pairs():
    targets, predicted = RNG.integers(0, 7, (2, 200))
    matrix = confusion_matrix(targets, predicted, 7)
    assert matrix.shape == (7, 7) and matrix.sum() == 200
    for i, j in np.ndindex(7, 7):
        assert matrix[i, j] == sum(1 for t, p in zip(targets, predicted, strict=True) if (t, p) == (i, j))


def test_classes_as_their_definitions_say():
    targets, predicted = RNG.integers(0, 5, (2, 100))
    result = per_class(confusion_matrix(targets, predicted, 6))
    for k in range(5):
        hits = ((targets == k) & (predicted == k)).sum()
        precision, recall = hits / (predicted == k).sum(), hits / (targets == k).sum()
        assert result.images[k] == (targets == k).sum()
        np.testing.assert_allclose((result.precision[k], result.recall[k]), (precision, recall))
        np.testing.assert_allclose(result.f1[k], 2 * precision * recall / (precision + recall))
    # the sixth has no images and was never named
    assert np.isnan([result.precision[5], result.recall[5], result.f1[5]]).all()


def test_classes_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    targets, predicted = RNG.integers(0, 5, (2, 300))
    matrix = confusion_matrix(targets, predicted, 5)
    assert (matrix == metrics.confusion_matrix(targets, predicted)).all()
    precision, recall, f1, images = metrics.precision_recall_fscore_support(targets, predicted)
    for own, theirs in zip(per_class(matrix), (images, precision, recall, f1), strict=True):
        np.testing.assert_allclose(own, theirs)


def test_the_largest_confusions_come_first():
    pairs = most_confused(np.array([[5, 2, 0], [2, 1, 1], [0, 0, 9]]))
    # of two pairs of two images that whose class has fewer
    assert [(p.target, p.predicted, p.images) for p in pairs] == [(1, 0, 2), (0, 1, 2), (1, 2, 1)]
    assert pairs[0].share == 0.5


def test_calibration_errors_worked_out_by_hand():
    # bins (0, 1/4], ... : 0.25 in the first, 0.3 and 0.5 in the second, 1.0 in the last
    result = reliability(np.array([0.25, 0.3, 0.5, 1.0]), np.array([True, False, True, True]), num_bins=4)
    assert [b.answers for b in result.bins] == [1, 2, 0, 1]
    np.testing.assert_allclose(result.bins[1][1:], (0.4, 0.5))
    np.testing.assert_allclose((result.ece, result.mce), ((0.75 + 2 * 0.1 + 0) / 4, 0.75))


def test_what_is_right_as_often_as_it_says_is_calibrated():
    confidences = RNG.uniform(0, 1, 20_000)
    result = reliability(confidences, RNG.uniform(0, 1, 20_000) < confidences)
    assert result.ece < 0.02
    assert reliability(confidences, np.zeros(20_000, bool)).ece == pytest.approx(confidences.mean())


def test_wrong_values_are_refused():
    with pytest.raises(ShapeError, match="classes 0 to 2"):
        confusion_matrix(np.array([3]), np.array([0]), 3)
    with pytest.raises(ShapeError, match="from 0 to 1"):
        reliability(np.array([1.5]), np.array([True]))
    with pytest.raises(ShapeError, match="a hit for each"):
        reliability(np.array([]), np.array([]))


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(9, 10, 0.5958, 0.9821), (0, 10, 0, 0.2775), (50, 100, 0.4038, 0.5962)]
)
def test_intervals_are_wilsons(hits, count, low, high):
    result = wilson(hits, count)
    np.testing.assert_allclose((result.value, result.low, result.high), (hits / count, low, high), atol=1e-4)
