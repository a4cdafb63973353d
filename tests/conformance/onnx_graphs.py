"""ONNX models made by the onnx package, run by onnxruntime: the oracle for our reader and writer."""

import onnx
import onnxruntime
from onnx import helper, numpy_helper

from minicnn.formats.onnx import read

IR_VERSION = 8  # opset 7 to 17 with every release of onnxruntime


def model(nodes, shape, constants=(), opset=17, batch="N", kind=onnx.TensorProto.FLOAT, output="y"):
    """A model with one input x of ``shape`` (without the batch) and one output y.

    ``nodes`` are (operator, inputs, output, attributes) with the names of values divided by spaces.
    """
    made = [
        helper.make_node(op, inputs.split(), out.split(), name=f"node {out}", **attributes)
        for op, inputs, out, attributes in nodes
    ]
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info("x", kind, [batch, *shape])],
        [helper.make_tensor_value_info(output, kind, None)],
        [numpy_helper.from_array(array, name) for name, array in dict(constants).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


def load_model(proto, folder):
    """Our network out of a model."""
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return read(path)


def session(source):
    """onnxruntime's session of a path or of bytes, without its warnings."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(source) if not isinstance(source, bytes) else source, options)


def expected(source, x):
    """Return onnxruntime's output."""
    running = session(source)
    return running.run(None, {running.get_inputs()[0].name: x})[0]


def run_net(net, x):
    """Run our network with everything that the file holds, a softmax at the end too."""
    return net.forward(x, upto=net.names[-1]) if net.names else net(x)
