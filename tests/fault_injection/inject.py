"""Right networks, and functions that inject faults: written by hand, in NumPy, not the changes diagnose tries."""

from dataclasses import replace

import numpy as np

import minicnn
from minicnn import Network, zoo
from minicnn.layers import Conv2d, Linear, sequence

CLASSES, NARROWER = 50, 4


# the right networks


def narrow(name):
    """An architecture of the zoo with a quarter of its filters and units, and weights of He's variance."""
    full = zoo.architecture(name, CLASSES)
    rng = np.random.default_rng(7)
    layers = [(n, _initialise(_narrow(layer, full.input_shape[0]), rng)) for n, layer in full.layers]
    return Network(layers, full.input_shape, full.preprocess, name=name)


def _initialise(layer, rng):
    if not isinstance(layer, Conv2d | Linear):
        return layer
    shape = layer.parameter_shapes()["weight"]
    weight = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    return layer.with_state({"weight": weight, "bias": rng.standard_normal(shape[0], np.float32)})


def _narrow(layer, depth):
    if isinstance(layer, Conv2d):
        channels = depth if layer.in_channels == depth else layer.in_channels // NARROWER
        return replace(layer, in_channels=channels, out_channels=layer.out_channels // NARROWER)
    if isinstance(layer, Linear):
        out = layer.out_features if layer.out_features == CLASSES else layer.out_features // NARROWER
        return replace(layer, in_features=layer.in_features // NARROWER, out_features=out)
    return layer


RIGHT = {
    "AlexNet": lambda: narrow("alexnet-caffe"),
    "CNN-F": lambda: narrow("vgg-f"),
    "Lite0": lambda: minicnn.load("efficientnet-lite0"),
}


# functions from network to faulty network


def change_layers(net, kinds, change, names=None):
    """Change every layer of some kinds, in blocks too; or those whose dotted names are given."""

    def changed(name, layer):
        return change(layer) if isinstance(layer, kinds) and (names is None or name in names) else layer

    return net.with_layers(sequence.map_layers(net.named_layers, changed))


def weights(change, *names, kinds=Conv2d):
    """Apply ``change`` to the weights of some layers, or of all of their kind."""

    def altered(layer):
        return layer.with_state({"weight": np.ascontiguousarray(change(layer.weight), np.float32)})

    return lambda net: change_layers(net, kinds, altered, names or None)


def fields(kinds, *names, **values):
    """Give layers other arguments; a function is called with the layer."""

    def altered(layer):
        return replace(layer, **{key: v(layer) if callable(v) else v for key, v in values.items()})

    return lambda net: change_layers(net, kinds, altered, names or None)


def rows(order, name):
    """Put a layer's outputs into another order."""

    def altered(layer):
        index = order(len(layer.weight))
        return layer.with_state({key: np.ascontiguousarray(a[index]) for key, a in layer.state().items()})

    return lambda net: change_layers(net, (Conv2d, Linear), altered, (name,))


def preprocessing(**values):
    """Give the network another preprocessing."""

    def altered(net):
        net = net.with_layers(net.named_layers)
        changed = {key: v(net.preprocess) if callable(v) else v for key, v in values.items()}
        net.preprocess = replace(net.preprocess, **changed)
        return net

    return altered


def columns(axes, maps, name="fc6"):
    """Give a layer the weights of a net whose maps, (C, H, W), were flattened with their axes in another order."""

    def altered(weight):
        shaped = weight.reshape(len(weight), *maps)
        return shaped.transpose(0, *(1 + axis for axis in axes)).reshape(len(weight), -1)

    return weights(altered, name, kinds=Linear)


def misread(axes):
    """A function of weights: what is read in our order from a buffer that was written in the order ``axes``."""
    return lambda weight: weight.transpose(axes).reshape(weight.shape)


def exchange(*pairs):
    """Exchange neighbouring layers."""

    def altered(net):
        layers = net.named_layers
        for a, _ in pairs:
            i = [name for name, _ in layers].index(a)
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
        return net.with_layers(layers)

    return altered


def random_order(n):
    return np.random.default_rng(3).permutation(n)


def reversed_mean(preprocess):
    return preprocess.mean[::-1]


def second_half_first(n):
    return np.r_[n // 2 : n, 0 : n // 2]
