"""The first loss: ln K of a network that knows nothing, whatever the recipe asks of the targets."""

import numpy as np
import pytest

from minicnn import zoo
from minicnn.kernels import reference
from minicnn.training.first_loss import explain_first_loss
from minicnn.training.loss import cross_entropy, make_targets


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_equal_scores_have_a_loss_of_ln_k_with_smoothing_and_class_weights(smoothing):
    targets = make_targets(np.array([0, 1, 1, 4]), np.array([1.0, 3.0, 1.0, 1.0, 0.2]), smoothing)
    loss, _ = cross_entropy(np.full((4, 5), 7.0), targets, reference)
    assert loss == pytest.approx(np.log(5), rel=1e-12) and explain_first_loss(loss, 5) is None


@pytest.mark.parametrize(("scale", "message"), [(1, None), (1000, "weights were drawn too large")])
def test_weights_that_are_too_large_are_said(scale, message):
    net = zoo.build("lenet5", 10, 0)
    images = np.random.default_rng(0).normal(0, 1, (8, *net.input_shape)).astype(np.float32)
    scores = scale * net.forward(images)
    said = explain_first_loss(cross_entropy(scores, np.eye(10)[:8], reference)[0], 10)
    assert said is None if message is None else message in said


def test_classes_that_can_be_seen_are_said():
    assert "right before anything is learnt" in explain_first_loss(0.3, 10)
