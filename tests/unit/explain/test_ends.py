"""Ends of files: what programs do with their answers, and the scores that are explained before it."""

import numpy as np
import pytest

from minicnn import Network, Preprocess
from minicnn.explain import predict
from minicnn.explain.outputs.class_map import class_map
from minicnn.explain.outputs.classifier import as_classifier, describe_outputs
from minicnn.explain.outputs.end import with_classes_first
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Hardtanh,
    IndexSelect,
    Linear,
    Log,
    LogSoftmax,
    Permute,
    ReLU,
    Reshape,
    Scale,
    Sigmoid,
    Slice,
    Softmax,
)

SIZE = (6, 8)
PICTURE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
LAST = Permute((1, 2, 0))


def network(*end, maps=False):
    head = [Conv2d(4, 5, 1)] if maps else [GlobalAvgPool2d(), Flatten(), Linear(4, 5)]
    layers = [Conv2d(3, 4, 3, padding=1), ReLU(), *head]
    return Network([*layers, *end], (3, *SIZE), Preprocess(SIZE), seed=1)


def answer(net):
    """Return what the file says of the picture."""
    return net.forward(net.preprocess(PICTURE), upto=net.names[-1])[0]


def times(factor, shift=False):
    return Scale((1,), weight=np.float32([factor]), bias=np.float32([shift]) if shift else False)


@pytest.mark.parametrize(
    ("posterior", "end"),
    [
        (Softmax(), (Hardtanh(1e-7, 1 - 1e-7),)),
        (Softmax(), (times(100),)),
        (Softmax(), (times(1, 1e-8), Log())),
        (Sigmoid(), (Hardtanh(0, 1), times(255))),
        (Sigmoid(), (Log(),)),
    ],
    ids=str,
)
def test_what_keeps_the_order_of_probabilities_is_left_out(posterior, end):
    net, plain = network(posterior, *end), network(posterior)
    for ours, expected in zip(predict(net, PICTURE), predict(plain, PICTURE), strict=True):
        assert ours[:4] == expected[:4]
    x = net.preprocess(PICTURE)
    np.testing.assert_array_equal(as_classifier(net).input_gradient(x, 2), plain.input_gradient(x, 2))


@pytest.mark.filterwarnings("ignore:.*explained as it is:UserWarning")
@pytest.mark.parametrize(
    "end",
    [
        (Sigmoid(), times(-1, 1.0)),
        (Softmax(), Slice(1, 1, None)),
        (Softmax(), IndexSelect(1, (4, 3, 2, 1, 0))),
    ],
    ids=str,
)
def test_what_is_made_of_probabilities_stays_one(end):
    net = network(*end)
    expected = answer(net)
    for best in predict(net, PICTURE):
        np.testing.assert_allclose(best.probability, expected[best.target], rtol=1e-6)


def test_what_is_done_to_probabilities_is_said():
    with pytest.warns(UserWarning, match=r"ends in Softmax\(\) and then Scale\(.* explained as it is"):
        predict(network(Softmax(), times(-3)), PICTURE)


TURNS = {
    "turned": (LAST,),
    "softmax, turned": (Softmax(), LAST),
    "turned, softmax of the last axis": (LAST, Permute((2, 0, 1)), Softmax(), LAST),
    "turned, sigmoid, clipped": (LAST, Sigmoid(), Hardtanh(0, 1)),
    "turned, rectified": (LAST, ReLU()),
    "turned, a bias for each class": (LAST, Scale((5,), bias=np.float32([0, 3, 1, 2, 5]))),
    "turned, a bias for each column": (LAST, Scale((8, 1), bias=np.arange(8, dtype=np.float32)[:, None])),
    "softmax of the last axis, percents of each row": (
        LAST,
        Permute((2, 0, 1)),
        Softmax(),
        LAST,
        BatchNorm2d(6, weight=np.full(6, 100.0)),
    ),
    "columns before rows": (LAST, Permute((1, 0, 2)), LogSoftmax()),
}


@pytest.mark.parametrize("end", TURNS)
def test_maps_that_end_channels_last_are_maps_of_classes(end):
    net = network(*TURNS[end], maps=True)
    if end == "columns before rows":  # this softmax is over columns
        net = network(LogSoftmax(), *TURNS[end][:-1], maps=True)
    outputs = describe_outputs(net)
    assert (outputs.classes, sorted(outputs.places)) == (5, [6, 8])
    expected = answer(net).argmax(axis=-1)
    classes = class_map(net, PICTURE).classes
    np.testing.assert_array_equal(classes, expected.T if expected.shape != SIZE else expected)
    assert as_classifier(net)(net.preprocess(PICTURE)).shape == (1, 5)


def test_maps_in_a_row_have_their_classes_first():
    outputs = describe_outputs(network(Reshape((5, 48)), maps=True))
    assert (outputs.classes, outputs.places, outputs.steps_first) == (5, (48,), False)
    assert describe_outputs(network(LAST, Reshape((6, 40)), maps=True)).steps_first
    outputs = describe_outputs(network(LAST, Reshape((48, 5)), maps=True))
    assert (outputs.classes, outputs.places, outputs.steps_first) == (5, (48,), True)


def test_other_ends_stay():
    for net in (
        network(),
        network(Softmax()),
        network(Permute((0, 2, 1)), maps=True),
        network(BatchNorm2d(5), maps=True),
    ):
        layers = net.named_layers
        assert with_classes_first(layers) is layers
    # a softmax over the rows
    rows = network(Permute((1, 0, 2)), Softmax(), Permute((1, 0, 2)), maps=True)
    assert describe_outputs(rows).classes == 5
