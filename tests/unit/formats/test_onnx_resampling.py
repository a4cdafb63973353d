"""ONNX's operators that resize maps, take parts of them or surround them, against onnxruntime."""

import numpy as np
import pytest
from onnx import helper

from minicnn.errors import WeightsError
from minicnn.layers import Upsample
from minicnn.layers.resampling.coordinates import COORDINATES, ROUNDINGS
from tests.conformance.onnx_graphs import expected, load_model, model, run_net

RNG = np.random.default_rng(0)
SHAPE = (4, 6, 5)


def ints(*values):
    return np.array(values, np.int64)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def check(tmp_path, nodes, shape=SHAPE, constants=(), **kwargs):
    """Our answer is onnxruntime's; return our network."""
    proto = model(nodes, shape, constants, **kwargs)
    net = load_model(proto, tmp_path)
    x = RNG.standard_normal((2, *shape)).astype(np.float32)
    reference = expected(tmp_path / "model.onnx", x)
    y = run_net(net, x).reshape(reference.shape)
    # onnxruntime has a place's weights in float32, whose error grows with the place: below 20 here
    np.testing.assert_allclose(y, reference, rtol=0, atol=60 * 1.2e-7 * np.abs(reference).max())
    return net


@pytest.mark.parametrize("coordinates", [c for c in COORDINATES if c != "tf_half_pixel_for_nn"])
@pytest.mark.parametrize("mode", ("nearest", "linear", "cubic"))
def test_resize(coordinates, mode, tmp_path):
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    variants = [{"nearest_mode": rounding} for rounding in ROUNDINGS] if mode == "nearest" else [{}]
    if mode == "cubic":
        variants.append({"cubic_coeff_a": -0.5, "exclude_outside": 1})
    opset = 19 if coordinates == "half_pixel_symmetric" else 13
    # of 5 places in 3 the middle one lies on a border, where the last bit of a rarely used formula decides
    sizes = ((12, 11), (1, 4 if coordinates == "half_pixel_symmetric" else 3), (9, 5))
    for variant in variants:
        for size in sizes:
            # the batch is read from the input, as exporters write it
            nodes = [
                ("Shape", "x", "all", {}),
                ("Slice", "all zero two", "first", {}),
                ("Concat", "first size", "sizes", {"axis": 0}),
                ("Resize", "x none none sizes", "y", attributes | variant),
            ]
            constants = {"zero": ints(0), "two": ints(2), "size": ints(*size), "none": np.array([], np.float32)}
            check(tmp_path, nodes, constants=constants, opset=opset)
        if coordinates != "align_corners":
            scales = np.array([1, 1, 1.5, 2], np.float32)
            nodes = [("Resize", "x roi scales", "y", attributes | variant)]
            constants = {"roi": np.array([], np.float32), "scales": scales}
            check(tmp_path, nodes, constants=constants, opset=opset)


@pytest.mark.parametrize(("operator", "opset"), (("Resize", 10), ("Upsample", 9), ("Upsample", 7)))
@pytest.mark.parametrize("mode", ("nearest", "linear"))
def test_resize_before_opset_11(operator, opset, mode, tmp_path):
    scales = [1.0, 1.0, 2.0, 3.0]
    attributes = {"mode": mode} | ({"scales": scales} if opset == 7 else {})
    inputs = "x" if opset == 7 else "x scales"
    constants = {} if opset == 7 else {"scales": np.array(scales, np.float32)}
    check(tmp_path, [(operator, inputs, "y", attributes)], constants=constants, opset=opset)


def test_resize_in_torchs_words(tmp_path):
    """What torch's exporters write comes back as the layer that it was."""
    attributes = {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel", "cubic_coeff_a": -0.75}
    constants = {"none": np.array([], np.float32), "sizes": ints(2, 4, 12, 10)}
    nodes = [("Resize", "x none none sizes", "y", attributes)]
    net = check(tmp_path, nodes, constants=constants, batch=2)
    assert repr(net.layers[0]) == repr(Upsample((12, 10), mode="bilinear", align_corners=False))


PARTS = {
    "slice": [("Slice", "x starts ends axes steps", "y", {})],
    "slice, opset 9": [("Slice", "x", "y", {"starts": [1, 0], "ends": [3, 2**31 - 1], "axes": [1, 3]})],
    "places": [("Gather", "x places", "y", {"axis": 1})],
    "one place": [("Gather", "x place", "y", {"axis": -1})],
    "expand": [("ReduceMean", "x", "m", {"axes": [2]}), ("Expand", "m target", "y", {})],
    "blocks": [("DepthToSpace", "x", "y", {"blocksize": 2, "mode": "DCR"})],
    "blocks, channels first": [("DepthToSpace", "x", "y", {"blocksize": 2, "mode": "CRD"})],
    "depth": [("Slice", "x zero four wide", "m", {}), ("SpaceToDepth", "m", "y", {"blocksize": 2})],
    "mean": [("ReduceMean", "x", "y", {"axes": [1], "keepdims": 0})],
    "sum": [("ReduceSum", "x axes", "y", {"keepdims": 1})],
    "largest": [("ReduceMax", "x", "y", {"axes": [1, 3], "keepdims": 0})],
    "norm": [("ReduceL2", "x", "y", {"axes": [2, 3]})],
    "absolute sum": [("ReduceL1", "x", "y", {"axes": [1]})],
    "squares": [("ReduceSumSquare", "x", "y", {"axes": [-1]})],
    "norm pool": [("LpPool", "x", "y", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 0, 1], "p": 3})],
    "global norm": [("GlobalLpPool", "x", "y", {"p": 2})],
    "last axis": [("MatMul", "x w", "m", {}), ("Add", "m b", "y", {})],
    "last but one": [("MatMul", "v x", "y", {})],
    "reflect": [("Pad", "x pads", "y", {"mode": "reflect"})],
    "edge": [("Pad", "x pads", "y", {"mode": "edge"})],
    "value": [("Pad", "x cut value", "y", {"mode": "constant"})],
    "channels": [("Pad", "x more", "y", {})],
    "tiles": [("Tile", "x repeats", "y", {})],
}
CONSTANTS = {
    "starts": ints(2, -1),
    "ends": ints(-1, -(2**31)),
    "axes": ints(2, 3),
    "steps": ints(1, -2),
    "places": ints(3, 0, -1),
    "place": np.array(2),
    "target": ints(1, 4, 3, 5),
    "zero": ints(0),
    "four": ints(4),
    "wide": ints(3),
    "w": floats(5, 7),
    "b": floats(7),
    "v": floats(3, 6),
    "pads": ints(0, 0, 2, 1, 0, 0, 1, 3),
    "cut": ints(0, 0, 2, -1, 0, 0, -1, 3),
    "value": np.float32(1.5),
    "repeats": ints(1, 2, 1, 3),
    "more": ints(0, 2, 0, 0, 0, 1, 0, 0),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts(name, tmp_path):
    used = {word for _, inputs, _, _ in PARTS[name] for word in inputs.split()}
    constants = {n: a for n, a in CONSTANTS.items() if n in used}
    check(tmp_path, PARTS[name], constants=constants, opset=9 if name.endswith("9") else 17)


@pytest.mark.parametrize("axes", ((1,), (2, 3), (3, 1)))
def test_places_of_several_axes(axes, tmp_path):
    """As torch's exporter writes x[:, places] and resizes to exact neighbours."""
    order = [*axes, *(axis for axis in range(4) if axis not in axes)]
    grid = np.meshgrid(*[RNG.integers(0, SHAPE[axis - 1], 3 + axis) for axis in axes], indexing="ij")
    nodes = [
        ("Transpose", "x", "first", {"perm": order}),
        ("GatherND", "first places", "gathered", {"batch_dims": 0}),
        ("Transpose", "gathered", "y", {"perm": np.argsort(order).tolist()}),
    ]
    net = check(tmp_path, nodes, constants={"places": np.stack(grid, axis=-1)})
    assert len(net.layers) == len(axes)


def test_windows_of_places(tmp_path):
    """As torch's newer exporter writes an adaptive pool: windows by a grid, what lies outside of them set to 0."""
    rows, columns = (ints(*range(n)).reshape(-1, 1) // 2 + ints(0, 1, 2) for n in (4, 5))
    places = np.stack(np.broadcast_arrays(rows[:, :, None, None], columns), axis=-1)
    nodes = [
        ("Transpose", "x", "first", {"perm": [2, 3, 0, 1]}),
        ("GatherND", "first places", "gathered", {"batch_dims": 0}),
        ("Transpose", "gathered", "windows", {"perm": [4, 5, 0, 1, 2, 3]}),
        ("Where", "outside zero windows", "inside", {}),
        ("ReduceSum", "inside axes", "y", {"keepdims": 0}),
    ]
    outside = np.arange(3).reshape(3, 1, 1) >= ints(2, 3, 2, 3).reshape(4, 1, 1, 1)
    check(tmp_path, nodes, constants={"places": places, "outside": outside, "zero": floats(), "axes": ints(3, 5)})


@pytest.mark.parametrize("places", [np.arange(120).reshape(1, 4, 6, 5), np.arange(0, 120, 5).reshape(1, 6, 2, 2)])
def test_views_of_the_values_of_one_image(places, tmp_path):
    """As torch writes as_strided, if the batch is fixed to one."""
    nodes = [("Reshape", "x row", "values", {}), ("Gather", "values places", "y", {"axis": 0})]
    proto = model(nodes, SHAPE, {"row": ints(-1), "places": places})
    with pytest.raises(WeightsError, match="no axis is left for the batch"):
        load_model(proto, tmp_path)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    x = floats(2, *SHAPE)
    y = run_net(load_model(proto, tmp_path), x)
    reference = [expected(tmp_path / "model.onnx", image[None])[0] for image in x]
    np.testing.assert_array_equal(y, np.stack(reference))


def test_constant_choice(tmp_path):
    constants = {"mask": RNG.random((6, 1)) > 0.5, "other": floats(4, 1, 5)}
    check(tmp_path, [("Where", "mask other x", "a", {}), ("Where", "mask a other", "y", {})], constants=constants)
    proto = model([("Where", "mask x x", "y", {})], SHAPE, {"mask": constants["mask"]})
    with pytest.raises(WeightsError, match="two computed inputs"):
        load_model(proto, tmp_path)


@pytest.mark.parametrize("opset", (11, 13, 18))
def test_split_and_shuffle(opset, tmp_path):
    """A ShuffleNet's unit: half of the channels pass, the others are mapped, and both are shuffled."""
    attributes = {"axis": 1} | ({"split": [2, 2]} if opset == 11 else {"num_outputs": 2} if opset == 18 else {})
    nodes = [
        ("Conv", "b w", "c", {}),
        ("Concat", "a c", "d", {"axis": 1}),
        ("Reshape", "d split", "e", {}),
        ("Transpose", "e", "f", {"perm": [0, 2, 1, 3, 4]}),
        ("Reshape", "f join", "y", {}),
    ]
    constants = {"w": floats(2, 2, 1, 1), "split": ints(0, 2, 2, 6, 5), "join": ints(0, 4, 6, 5)}
    proto = model(nodes, SHAPE, constants, opset=opset)
    proto.graph.node.insert(0, helper.make_node("Split", ["x"], ["a", "b"], name="halves", **attributes))
    net = load_model(proto, tmp_path)
    x = floats(2, *SHAPE)
    np.testing.assert_allclose(run_net(net, x), expected(tmp_path / "model.onnx", x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        (
            [("Resize", "x r s", "y", {"antialias": 1})],
            {"r": floats(0), "s": np.ones(4, np.float32)},
            "smooths before",
        ),
        (
            [("Resize", "x r s", "y", {"coordinate_transformation_mode": "tf_crop_and_resize"})],
            {"r": floats(8), "s": np.ones(4, np.float32)},
            "coordinates 'tf_crop_and_resize'",
        ),
        ([("Resize", "x r s", "y", {})], {"r": floats(0), "s": np.float32([1, 2, 2, 2])}, "batch or channels too"),
        ([("Slice", "x a b c", "y", {})], {"a": ints(1), "b": ints(2), "c": ints(0)}, "takes part of the batch"),
        ([("Gather", "x a", "y", {"axis": 1})], {"a": ints(9)}, "expected places of an axis of 4"),
        ([("ReduceMean", "x", "y", {})], {}, "the batch among them"),
        ([("Pad", "x a", "y", {"mode": "reflect"})], {"a": ints(0, 1, 0, 0, 0, 0, 0, 0)}, "pads channels in mode"),
        ([("DepthToSpace", "x", "y", {"blocksize": 3})], {}, "expected a multiple of 9 channels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(nodes, constants, message, tmp_path):
    with pytest.raises(WeightsError, match=f"node 'node y'.*{message}"):
        load_model(model(nodes, SHAPE, constants, opset=18), tmp_path)
