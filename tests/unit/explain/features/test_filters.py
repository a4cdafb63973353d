"""Filters are the weights, in the picture's colours; feature maps are what the layer gives."""

import numpy as np
import pytest

import minicnn
from minicnn import explain, layers
from minicnn.errors import MinicnnError, ShapeError, WeightsError
from minicnn.io import catalogue

SEVEN = catalogue.folder("images") / "seven.png"


def network(*own, channels="RGB", shape=(3, 4, 4)):
    preprocess = channels and minicnn.Preprocess(shape[1:], channels=channels)
    return minicnn.Network(own, input_shape=shape, preprocess=preprocess)


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_filters_of_the_first_layer_are_in_colour(channels):
    weight = np.arange(2 * 3 * 4.0).reshape(2, 3, 2, 2)
    shown = explain.filters(network(layers.Conv2d(3, 2, 2, weight=weight), channels=channels))
    expected = weight[:, ::-1] if channels == "BGR" else weight
    np.testing.assert_array_equal(shown.weights, expected)
    assert shown.in_colour and shown.layer == "0"


def test_a_filter_of_a_transposed_convolution_gives_its_own_channel():
    rng = np.random.default_rng(0)
    layer = layers.ConvTranspose2d(4, 6, 3, groups=2, bias=False)
    net = network(layer, shape=(4, 3, 3), channels=None)
    net.load_state_dict({"0.weight": rng.standard_normal((4, 3, 3, 3))})
    shown = explain.filters(net)
    assert shown.weights.shape == (6, 2, 3, 3) and not shown.in_colour
    x = np.zeros((1, 4, 3, 3))
    x[0, 3, 1, 1] = 1  # the second channel of the second group
    y = net.forward(x)[0, :, 1:4, 1:4]
    np.testing.assert_allclose(y[3:], shown.weights[3:, 1], rtol=1e-12)
    assert not y[:3].any()


def test_rows_of_a_linear_layer_are_filters_of_the_maps_that_it_reads():
    weight = np.arange(5 * 48.0).reshape(5, 48)
    net = network(layers.Flatten(), layers.Linear(48, 5, weight=weight))
    shown = explain.filters(net)
    np.testing.assert_array_equal(shown.weights, weight.reshape(5, 3, 4, 4))
    assert shown.in_colour


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        ("conv_layers.1", WeightsError, "ReLU has no filters; layers with filters: conv_layers.0"),
        ("nowhere", MinicnnError, "no layer 'nowhere'"),
    ],
)
def test_layers_without_filters_are_refused(layer, error, words):
    with pytest.raises(error, match=words):
        explain.filters(minicnn.load("digits"), layer)
    with pytest.raises(WeightsError, match="no layer with filters"):
        explain.filters(network(layers.ReLU()))


def test_feature_maps_are_what_the_layer_gives():
    net = minicnn.load("digits")
    shown = explain.feature_maps(net, SEVEN, "conv_layers.3")
    np.testing.assert_array_equal(shown.maps, net.forward(net.preprocess(SEVEN), upto="conv_layers.3")[0])
    with pytest.raises(ShapeError, match="10 values"):
        explain.feature_maps(net, SEVEN, "fc_layers.2")
