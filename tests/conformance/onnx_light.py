"""The nine ``light_*`` graphs of ONNX's suite: published networks without their weights, here with random ones."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.conformance.onnx_suite import DATA

LIGHT = {
    "bvlc_alexnet": "AlexNet",
    "vgg19": "VGG-19",
    "zfnet512": "ZFNet-512",
    "squeezenet": "SqueezeNet",
    "resnet50": "ResNet-50",
    "densenet121": "DenseNet-121",
    "inception_v1": "Inception v1",
    "inception_v2": "Inception v2",
    "shufflenet": "ShuffleNet",
}
X = (1, 3, 224, 224)


def with_random_weights(name, narrow=None, seed=0):
    """The graph with weights by He's rule, statistics near 1, its softmax left out; ``narrow`` for hidden units.

    The graphs make each weight by ConstantOfShape; here initialisers take their place.  Without the softmax the
    scores can be compared: with random weights it gives one class everything.
    """
    model = onnx.load(DATA / "light" / f"light_{name}.onnx")
    graph, rng = model.graph, np.random.default_rng(seed)
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    makers = [n for n in graph.node if n.op_type == "ConstantOfShape"]
    nodes = [n for n in graph.node if n.op_type not in ("ConstantOfShape", "Softmax")]
    uses = {value: (n.op_type, i) for n in nodes for i, value in enumerate(n.input)}
    shapes = {n.output[0]: [int(v) for v in values[n.input[0]]] for n in makers}
    kept = [i for i in graph.initializer if i.name in uses]
    for fields, items in ((graph.node, nodes), (graph.initializer, kept)):
        del fields[:]
        fields.extend(items)
    for value, shape in shapes.items():
        shape = [narrow if narrow and n == 4096 else n for n in shape]
        graph.initializer.append(numpy_helper.from_array(drawn(shape, *uses[value], rng), value))
    names = {i.name for i in graph.initializer}
    inputs = [p for p in graph.input if p.name not in names and p.name in uses]
    for fields, items in (
        (graph.input, inputs),
        (graph.output, [helper.make_tensor_value_info(nodes[-1].output[0], 1, None)]),
        (graph.value_info, []),
    ):
        del fields[:]
        fields.extend(items)
    return model


def drawn(shape, operator, place, rng):
    """Weights that keep activations of order one."""
    if operator in ("Conv", "Gemm") and place == 1:
        deviation = np.float32(np.sqrt(2 / np.prod(shape[1:])))
        return rng.standard_normal(shape, dtype=np.float32) * deviation
    if (operator == "BatchNormalization" and place in (1, 4)) or operator == "Mul":
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1)
