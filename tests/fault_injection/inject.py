"""Right networks, and how faults are planted in them: by hand, in NumPy, not with the changes diagnose tries."""

from dataclasses import replace

import numpy as np

import minicnn
from minicnn import Network, zoo
from minicnn.layers import Conv2d, Linear, sequence

CLASSES, NARROWER = 50, 4


# the right networks


def narrow(name):
    """An architecture of the zoo with a quarter of its filters and units, and weights of He's variance."""
    found = zoo.architecture(name, CLASSES)
    rng = np.random.default_rng(7)
    layers = [(n, _drawn(_narrow(n, layer, found.input_shape[0]), rng)) for n, layer in found.layers]
    return Network(layers, found.input_shape, found.preprocess, name=name)


def _drawn(layer, rng):
    if not isinstance(layer, Conv2d | Linear):
        return layer
    shape = layer.parameter_shapes()["weight"]
    weight = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    return layer.with_state({"weight": weight, "bias": rng.standard_normal(shape[0], np.float32)})


def _narrow(name, layer, depth):
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


# how faults are planted


def each(net, kinds, change, names=None):
    """Change every layer of some kinds, in blocks too; or those whose dotted names are given."""

    def changed(name, layer):
        return change(layer) if isinstance(layer, kinds) and (names is None or name in names) else layer

    return net.with_layers(sequence.map_layers(net.named_layers, changed))


def weights(change, *names, kinds=Conv2d):
    """Plant ``change`` in the weights of some layers, or of all of their kind."""

    def altered(layer):
        return layer.with_state({"weight": np.ascontiguousarray(change(layer.weight), np.float32)})

    return lambda net: each(net, kinds, altered, names or None)


def fields(kinds, *names, **values):
    """Plant other arguments; a function is called with the layer."""

    def altered(layer):
        return replace(layer, **{key: v(layer) if callable(v) else v for key, v in values.items()})

    return lambda net: each(net, kinds, altered, names or None)


def rows(order, name):
    """Plant another order of a layer's outputs."""

    def altered(layer):
        index = order(len(layer.weight))
        return layer.with_state({key: np.ascontiguousarray(a[index]) for key, a in layer.state().items()})

    return lambda net: each(net, (Conv2d, Linear), altered, (name,))


def picture(**values):
    """Plant another preprocessing."""

    def altered(net):
        net = net.with_layers(net.named_layers)
        changed = {key: v(net.preprocess) if callable(v) else v for key, v in values.items()}
        net.preprocess = replace(net.preprocess, **changed)
        return net

    return altered


def columns(axes, maps, name="fc6"):
    """Plant weights of a net whose maps, (C, H, W), were flattened with their axes in another order."""

    def altered(weight):
        shaped = weight.reshape(len(weight), *maps)
        return shaped.transpose(0, *(1 + axis for axis in axes)).reshape(len(weight), -1)

    return weights(altered, name, kinds=Linear)


def buffer(axes):
    """What is read as ours from a buffer written in the order ``axes``."""
    return lambda weight: weight.transpose(axes).reshape(weight.shape)


def exchanged(*pairs):
    """Plant two neighbours in the other order."""

    def altered(net):
        layers = net.named_layers
        for a, _ in pairs:
            i = [name for name, _ in layers].index(a)
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
        return net.with_layers(layers)

    return altered


def shuffled(n):
    return np.random.default_rng(3).permutation(n)


def reversed_mean(preprocess):
    return preprocess.mean[::-1]


def halves(n):
    return np.r_[n // 2 : n, 0 : n // 2]
