"""Lists of layers: walked through, and rebuilt layer by layer."""

import numpy as np

from minicnn.layers import BatchNorm2d, Concat, Conv2d, Layer, ReLU, ReLU6, Residual, Sequential, Tanh, sequence


def nested():
    inner = Residual([Conv2d(2, 2, 1), ReLU()], [])
    return sequence.name_layers([("stem", Conv2d(3, 2, 1)), Concat([inner, ReLU()], [BatchNorm2d(2)]), Tanh()])


def test_walk_opens_blocks_in_order():
    names = [name for name, _ in sequence.walk(nested())]
    assert names == ["stem", "1.0.0.body.0", "1.0.0.body.1", "1.0.1", "1.1.0", "2"]
    for name, layer in sequence.walk(nested()):
        assert type(layer) is type(sequence.find(nested(), name))


def test_walk_of_empty_blocks():
    assert list(sequence.walk([])) == []
    assert [name for name, _ in sequence.walk([("a", Sequential([])), ("b", ReLU())])] == ["b"]


def test_map_layers_rebuilds_blocks():
    layers, seen = nested(), []

    def function(name, layer):
        seen.append(name)
        return ReLU6() if isinstance(layer, ReLU) else layer

    rebuilt = sequence.map_layers(layers, function)
    assert seen == [name for name, _ in sequence.walk(layers)] == [name for name, _ in sequence.walk(rebuilt)]
    kinds = [type(layer).__name__ for _, layer in sequence.walk(rebuilt)]
    assert kinds == ["Conv2d", "Conv2d", "ReLU6", "ReLU6", "BatchNorm2d", "Tanh"]
    assert not any(isinstance(layer, ReLU6) for _, layer in sequence.walk(layers)), "the list given is not touched"
    assert rebuilt[0][1] is layers[0][1]


def test_blocks_map_their_branches_and_other_layers_are_themselves():
    layer = ReLU()
    assert layer.map_branches(lambda branch: []) is layer
    block = Residual([Conv2d(2, 2, 1)], [ReLU()]).map_branches(lambda branch: branch * 0)
    assert isinstance(block, Residual) and block.branches() == [[], []]
    x = np.ones((1, 2, 1, 1), np.float32)
    assert block.output_shape(x.shape[1:]) == x.shape[1:]


def test_blocks_of_one_layer_from_elsewhere():
    class Own(Layer):
        pass

    assert [name for name, _ in sequence.walk([("own", Own())])] == ["own"]
