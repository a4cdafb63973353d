"""ONNX's own backend test suite run through our reader: each case passes, is refused with a reason, or is wrong.

The cases of single nodes give weights as inputs.  Here each input in turn is taken as the image and the others
become initialisers, which is what a network's file has.  What joins several values is also run with all of them
computed: one image holds the inputs side by side in its channels, and convolutions or products with rows of zeros
and a one pick them out.  A case passes if it is right for some choice and never wrong.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

import minicnn
from minicnn.formats.onnx import read

DATA = Path(os.path.dirname(onnx.__file__)) / "backend" / "test" / "data"
GROUPS = ("node", "pytorch-converted", "pytorch-operator", "simple")
# of the largest value: a few units in the last place of float32, one of half precision (computed here in float32);
# where the expected values are written with four digits, half of the last
TOLERANCE = 1e-5
OTHERS = {"float16": 1e-3, "bfloat16": 8e-3, "test_averagepool_2d_ceil_last_window_starts_on_pad": 2e-4}


class Result(NamedTuple):
    """What became of a case: "passed", "refused" or "wrong", and why."""

    group: str
    case: str
    operators: tuple[str, ...]
    outcome: str
    reason: str = ""


def cases(group):
    """Folders of a group's cases."""
    return sorted(path.parent for path in (DATA / group).glob("*/model.onnx"))


def operators(folder):
    """Names of a case's operators."""
    return operators_of(onnx.load(folder / "model.onnx"))


def operators_of(model):
    return {node.op_type for node in model.graph.node}


def tensors(folder, kind):
    """Arrays of the first data set, None for what is no tensor (sequences, optionals)."""
    arrays = []
    for path in sorted(
        (folder / "test_data_set_0").glob(f"{kind}_*.pb"), key=lambda p: int(p.stem.rpartition("_")[2])
    ):
        try:
            arrays.append(numpy_helper.to_array(onnx.load_tensor(path)))
        except Exception:
            arrays.append(None)
    return arrays


def run(folder, scratch):
    """Run one case."""
    model = onnx.load(folder / "model.onnx")
    op_types = tuple(dict.fromkeys(node.op_type for node in model.graph.node))
    inputs, outputs = tensors(folder, "input"), tensors(folder, "output")
    path, reasons, passed = Path(scratch) / "case.onnx", [], False
    for changed, x in variants(model, inputs, outputs):
        path.write_bytes(changed.SerializeToString())
        try:
            net = read(path)
        except minicnn.errors.WeightsError as error:
            reasons.append(str(error).removeprefix(f"{path}: "))
            continue
        tolerance = OTHERS.get(folder.name, OTHERS.get(str(outputs[0].dtype), TOLERANCE))
        fault = difference(net, x, outputs[0], tolerance)
        if fault:
            return Result(folder.parent.name, folder.name, op_types, "wrong", fault)
        passed = True
    outcome = ("passed",) if passed else ("refused", (reasons or ["an input or output that is no tensor"])[-1])
    return Result(folder.parent.name, folder.name, op_types, *outcome)


def variants(model, inputs, outputs):
    """The case as networks with one input, each with that input."""
    if not inputs or any(a is None for a in inputs) or outputs[0] is None:
        return
    for image, x in enumerate(inputs):
        yield with_constants(model, inputs, image), x
    floats = all(a.dtype == np.float32 and a.ndim in (2, 3, 4) for a in inputs)
    if len(inputs) > 1 and operators_of(model) <= {"Add", "Sum", "Concat"} and floats:
        if len({a.shape[:1] + a.shape[2:] for a in inputs}) == 1:
            yield side_by_side(model, inputs), np.concatenate(inputs, 1)


def side_by_side(model, arrays):
    """The model behind nodes that pick its inputs out of the channels of one."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.input[:]
    x = np.concatenate(arrays, 1)
    changed.graph.input.append(helper.make_tensor_value_info("image", 1, x.shape))
    picks, first = [], 0
    for port, array in zip(model.graph.input, arrays, strict=True):
        rows = np.eye(x.shape[1], dtype=np.float32)[first : first + array.shape[1]]
        first += array.shape[1]
        weight = rows.T if x.ndim == 2 else rows.reshape(*rows.shape, *[1] * (x.ndim - 2))
        changed.graph.initializer.append(numpy_helper.from_array(weight, f"pick {port.name}"))
        op = "MatMul" if x.ndim == 2 else "Conv"
        picks.append(helper.make_node(op, ["image", f"pick {port.name}"], [port.name]))
    nodes = [*picks, *model.graph.node]
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def with_constants(model, arrays, image):
    """The model with all inputs but one as initialisers."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    given = list(changed.graph.input)
    del changed.graph.input[:]
    for i, (port, array) in enumerate(zip(given, arrays, strict=False)):
        if i == image:
            changed.graph.input.append(port)
        else:
            changed.graph.initializer.append(numpy_helper.from_array(array, port.name))
    return changed


def difference(net, x, expected, tolerance):
    """What is wrong with the network's answer, an empty string if nothing."""
    x = x if x.dtype == np.float64 else x.astype(np.float32)
    y = net.forward(x, upto=net.names[-1] if net.names else None, allow_nonfinite=True)
    expected = expected.astype(np.float64)
    if y.shape != expected.shape and expected.shape != (*y.shape, 1, 1):
        return f"shape {y.shape}, expected {expected.shape}"
    expected = expected.reshape(y.shape)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=1e-30)
    wrong = ~np.isclose(y, expected, rtol=0, atol=tolerance * largest, equal_nan=True)
    if not wrong.any():
        return ""
    return (
        f"{wrong.sum()} of {wrong.size} values differ, the first is {y[wrong][0]}, expected {expected[wrong][0]}"
    )
