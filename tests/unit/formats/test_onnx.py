"""Our ONNX reader against onnxruntime: exporters' patterns, blocks, constants, what is refused."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

import minicnn
from minicnn import layers
from minicnn.errors import WeightsError
from minicnn.formats.onnx import constant_folding
from minicnn.formats.onnx import model as decoding
from minicnn.formats.onnx.budget import Budget
from tests.conformance.onnx_graphs import expected, load_model, model, run_net
from tests.conformance.onnx_suite import cases, operators, tensors

# single precision on both sides, sums in another order: a few units in the last place of the largest value
CLOSE = 1e-5


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def check(proto, folder, x, kinds=None):
    """Read, run and compare; ``kinds`` are the layers' names in one string."""
    net = load_model(proto, folder)
    y, reference = run_net(net, x), expected(proto.SerializeToString(), x)
    np.testing.assert_allclose(y.reshape(reference.shape), reference, rtol=0, atol=CLOSE * np.abs(reference).max())
    if kinds is not None:
        assert " ".join(type(layer).__name__ for layer in net.layers) == kinds
    return net


# what PyTorch's exporter makes of common modules


class Branches(nn.Module):
    """Residual, concatenating and nested blocks, with functional operations between them."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 5, 1)
        self.c, self.norm = nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.a(x)) + x
        x = torch.cat([x, F.max_pool2d(self.b(x), 3, 1, 1)], 1)
        x = x + F.relu6(self.norm(self.c(x) + x))
        return torch.softmax(self.fc(x.mean((2, 3))), 1)


class Dense(nn.Module):
    """DenseNet: every layer sees the outputs of all before it."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 + 2 * i, 2, 3, padding=1) for i in range(3))

    def forward(self, x):
        features = [x]
        for conv in self.convs:
            features.append(torch.relu(conv(torch.cat(features, 1))))
        return torch.cat(features, 1)


class Shuffle(nn.Module):
    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w).flatten(1)


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, x):
        return torch.log_softmax(self.conv(F.pad(x, (0, 1, 2, 1))).view(x.size(0), -1), 1)


MODULES = {
    "branches": Branches,
    "dense": Dense,
    "shuffle": lambda: nn.Sequential(nn.Conv2d(3, 4, 1), Shuffle()),
    "padded": Padded,
    "normalised": lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.LocalResponseNorm(4, 0.5, 0.7, 2.0), nn.ReLU6()),
    "alone": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.PReLU(3), nn.LeakyReLU(0.2), nn.Tanh()),
    "pools": lambda: nn.Sequential(
        nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 1, 1, count_include_pad=False), nn.AdaptiveAvgPool2d(1)
    ),
    "up": lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, 2, 1, 1), nn.Dropout(0.2), nn.Flatten(), nn.ReLU()),
    "rows": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 81, 7), nn.BatchNorm1d(7), nn.Linear(7, 3, bias=False)
    ),
}


def exported(module, x, batch_open):
    """The module as PyTorch exports it, with running statistics that matter."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"x": {0: "N"}} if batch_open else None
        torch.onnx.export(
            module.eval(), (x,), file, dynamo=False, input_names=["x"], dynamic_axes=axes, opset_version=17
        )
    return onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize("batch_open", (False, True))
@pytest.mark.parametrize("name", MODULES)
def test_exports_of_pytorch(name, batch_open, tmp_path):
    torch.manual_seed(0)
    module, x = MODULES[name](), torch.randn(2, 3, 9, 9)
    proto = exported(module, x if batch_open else x[:1], batch_open)
    net = load_model(proto, tmp_path)
    with torch.no_grad():
        reference = module(x).numpy()
    y = run_net(net, x.numpy())
    np.testing.assert_allclose(y.reshape(reference.shape), reference, rtol=0, atol=CLOSE * np.abs(reference).max())
    assert net.input_shape == (3, 9, 9) and net.preprocess is None and net.labels is None


def test_input_gradient_of_an_export(tmp_path):
    torch.manual_seed(1)
    module, x = Branches(), torch.randn(2, 3, 9, 9, requires_grad=True)
    net = load_model(exported(module, x, True), tmp_path)
    scores = module.fc(module_features(module, x))
    scores[torch.arange(2), torch.tensor([1, 3])].sum().backward()
    dx = net.input_gradient(x.detach().numpy(), np.array([1, 3]))
    np.testing.assert_allclose(dx, x.grad, rtol=0, atol=CLOSE * x.grad.abs().max().item())


def module_features(module, x):
    """What Branches gives its last layer."""
    features = []
    handle = module.fc.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    module(x)
    handle.remove()
    return features[0]


def test_names_lead_to_activations(tmp_path):
    module, x = Branches(), torch.randn(1, 3, 9, 9)
    net = load_model(exported(module, x, True), tmp_path)
    with torch.no_grad():
        hidden = torch.relu(module.a(x)).numpy()
    np.testing.assert_allclose(net.forward(x.numpy(), upto="/Relu"), hidden, atol=CLOSE * hidden.max())
    assert net["/a/Conv"].weight.shape == (3, 3, 3, 3)


# patterns of other exporters


def test_product_and_sum_are_a_full_layer(tmp_path):
    constants = {
        "w": normal(6, 4),
        "b": normal(4),
        "w2": normal(4, 2),
        "b2": normal(1, 2),
        "half": np.float32(0.5),
    }
    nodes = [
        ("MatMul", "x w", "a", {}),
        ("Add", "b a", "b1", {}),
        ("Relu", "b1", "c", {}),
        ("Gemm", "c w2 b2", "d", {"alpha": 0.5, "beta": 2.0}),
        ("Mul", "d half", "y", {}),
    ]
    check(model(nodes, (6,), constants), tmp_path, normal(3, 6), "Linear ReLU Linear Scale")


def test_a_sum_after_a_convolution_is_its_bias(tmp_path):
    constants = {"w": normal(4, 3, 2, 2), "b": normal(4, 1, 1)}
    nodes = [("Conv", "x w", "a", {}), ("Add", "a b", "y", {})]
    net = check(model(nodes, (3, 5, 5), constants), tmp_path, normal(2, 3, 5, 5), "Conv2d")
    assert net.names == ["node y"]


def test_a_sum_that_others_do_not_see_stays_outside(tmp_path):
    constants = {"w": normal(3, 3, 1, 1), "b": normal(3, 1, 1)}
    nodes = [("Conv", "x w", "a", {}), ("Add", "a b", "c", {}), ("Relu", "a", "d", {}), ("Add", "c d", "y", {})]
    check(model(nodes, (3, 5, 5), constants), tmp_path, normal(2, 3, 5, 5), "Conv2d BatchNorm2d ReLU Add")


PATHS = {
    "crossing": ("Relu:x:a Tanh:a:b Tanh:a:c Add:b,c:d Add:b,d:y", "ReLU Tanh Tanh Add Add"),
    "a gate": ("GlobalAveragePool:x:a Sigmoid:a:b Mul:x,b:y", "GlobalAvgPool2d Sigmoid Multiply"),
    "a square": ("Mul:x,x:a Relu:a:y", "Multiply ReLU"),
    "a difference": ("Relu:x:a Tanh:x:b Sub:a,b:y", "ReLU Tanh Subtract"),
    "a quotient": ("Relu:x:a Exp:a:b Div:a,b:y", "ReLU Exp Divide"),
    "maxima": ("Relu:x:a Tanh:x:b Max:a,b,x:c Min:c,b:y", "ReLU Tanh Maximum Minimum"),
    "what nothing reads": ("Relu:x:a Abs:a:b Tanh:a:y", "ReLU Tanh"),
    "the same twice": ("Relu:x:a Add:a,a:y", "ReLU Add"),
    "an identity": ("Relu:x:a Identity:a:b Add:a,b:c Identity:c:y", "ReLU Add"),
    "rows": ("Relu:x:a Concat:a,x:y", "ReLU Cat"),
}


@pytest.mark.parametrize("name", PATHS)
def test_paths_that_cross(name, tmp_path):
    text, kinds = PATHS[name]
    nodes = []
    for node in text.split():
        kind, inputs, output = node.split(":")
        nodes.append((kind, inputs.replace(",", " "), output, {"axis": 2} if kind == "Concat" else {}))
    net = check(model(nodes, (3, 4, 5)), tmp_path, normal(2, 3, 4, 5), kinds)
    assert net.names[-1].startswith("node ")


def test_scale_and_shift_of_the_input(tmp_path):
    constants = {"mean": normal(3, 1, 1), "std": np.float32([0.5]), "two": np.float32(2)}
    nodes = [("Sub", "x mean", "a", {}), ("Div", "a std", "b", {}), ("Sub", "two b", "y", {})]
    check(model(nodes, (3, 4, 5), constants), tmp_path, normal(2, 3, 4, 5), "BatchNorm2d BatchNorm2d BatchNorm2d")


@pytest.mark.parametrize("mode", ("SAME_UPPER", "SAME_LOWER", "VALID"))
@pytest.mark.parametrize("size", ((10, 11), (13, 12)))
def test_auto_pad(mode, size, tmp_path):
    given = {"auto_pad": mode, "strides": [2, 3]}
    nodes = [
        ("Conv", "x w", "a", {**given, "dilations": [1, 1], "kernel_shape": [3, 2]}),
        ("MaxPool", "a", "b", {"auto_pad": mode, "kernel_shape": [2, 2]}),
        ("AveragePool", "b", "y", {"auto_pad": mode, "kernel_shape": [2, 1], "strides": [2, 1]}),
    ]
    check(
        model(nodes, (3, *size), {"w": normal(4, 3, 3, 2)}),
        tmp_path,
        normal(2, 3, *size),
        "Conv2d MaxPool2d AvgPool2d",
    )


def test_channels_last_input_becomes_channels_first(tmp_path):
    nodes = [("Transpose", "x", "a", {"perm": [0, 3, 1, 2]}), ("Conv", "a w", "y", {})]
    proto, x = model(nodes, (5, 6, 3), {"w": normal(4, 3, 2, 2)}), normal(2, 5, 6, 3)
    net = load_model(proto, tmp_path)
    assert net.input_shape == (3, 5, 6)
    y = net(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(y, expected(proto.SerializeToString(), x), atol=CLOSE * np.abs(y).max())


@pytest.mark.parametrize("size", [(5, 6), (None, None)])
def test_steps_before_the_channels_are_put_first(tmp_path, size):
    nodes = [
        ("Gather", "x order", "bgr", {"axis": 3}),
        ("Div", "bgr scale", "unit", {}),
        ("Sub", "unit mean", "centred", {}),
        ("Transpose", "centred", "a", {"perm": [0, 3, 1, 2]}),
        ("Conv", "a w", "c", {}),
        ("GlobalAveragePool", "c", "p", {}),
        ("Flatten", "p", "y", {}),
    ]
    constants = {"order": np.array([2, 1, 0]), "scale": np.float32(127.5), "mean": np.float32([1, 2, 3])}
    proto, x = model(nodes, (*size, 3), {"w": normal(4, 3, 2, 2), **constants}), normal(2, 5, 6, 3)
    net = load_model(proto, tmp_path)
    assert net.input_shape == (None if None in size else (3, 5, 6))
    y = net(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(y, expected(proto.SerializeToString(), x), atol=CLOSE * np.abs(y).max())


def test_scores_of_one_pixel_come_as_rows(tmp_path):
    nodes = [("GlobalAveragePool", "x", "a", {}), ("Softmax", "a", "y", {"axis": 1})]
    net = check(model(nodes, (3, 4, 5), opset=11), tmp_path, normal(2, 3, 4, 5), "GlobalAvgPool2d Flatten Softmax")
    assert net(normal(2, 3, 4, 5)).shape == (2, 3)


TAILS = {
    "flatten": [("Softmax", "a", "b", {"axis": 1}), ("Flatten", "b", "y", {})],
    "squeeze": [("Softmax", "a", "b", {"axis": 1}), ("Squeeze", "b axes", "y", {})],
    "reshape": [("LogSoftmax", "a", "b", {"axis": 1}), ("Reshape", "b shape", "y", {})],
    "dropout": [("Flatten", "a", "f", {}), ("Softmax", "f", "b", {"axis": 1}), ("Dropout", "b", "y", {})],
    "exponential": [("Flatten", "a", "f", {}), ("LogSoftmax", "f", "b", {"axis": 1}), ("Exp", "b", "y", {})],
    "sigmoid": [("Sigmoid", "a", "b", {}), ("Flatten", "b", "y", {})],
}


@pytest.mark.parametrize("tail", TAILS)
def test_what_stands_behind_a_softmax_makes_scores_of_no_probabilities(tail, tmp_path):
    nodes = [("GlobalAveragePool", "x", "a", {}), *TAILS[tail]]
    constants = {"axes": np.array([2, 3]), "shape": np.array([-1, 5])}
    x = normal(2, 5, 4, 4)
    net = check(model(nodes, (5, 4, 4), constants), tmp_path, x)
    np.testing.assert_allclose(net(x), x.mean((2, 3)), rtol=1e-5, atol=1e-6)
    assert net.layers[-1].is_posterior and net(x).shape == (2, 5)


def test_a_softmax_over_maps_stays_where_it_is(tmp_path):
    nodes = [("Softmax", "x", "a", {"axis": 1}), ("Flatten", "a", "y", {})]
    check(model(nodes, (5, 4, 4)), tmp_path, normal(2, 5, 4, 4), "Softmax Flatten")


@pytest.mark.parametrize(("axis", "opset"), [(2, 17), (-1, 17), (3, 11)])
def test_softmax_over_any_axis(axis, opset, tmp_path):
    nodes = [("Softmax", "x", "a", {"axis": axis}), ("Relu", "a", "y", {})]
    check(model(nodes, (5, 4, 3), opset=opset), tmp_path, normal(2, 5, 4, 3), "Permute Softmax Permute ReLU")


@pytest.mark.parametrize("opset", [11, 17])
def test_softmax_over_the_batch_is_refused(opset, tmp_path):
    with pytest.raises(WeightsError, match="there is a layer for one axis, not the batch's"):
        load_model(model([("Softmax", "x", "y", {"axis": 0})], (5,), opset=opset), tmp_path)


def test_a_constant_that_is_tiled(tmp_path):
    nodes = [("Tile", "row times", "b", {}), ("Add", "x b", "y", {})]
    check(
        model(nodes, (4, 3, 2), {"row": normal(2, 1, 1), "times": np.array([2, 1, 1])}),
        tmp_path,
        normal(2, 4, 3, 2),
    )


@pytest.mark.parametrize(
    ("inputs", "shape"),
    [
        (("x", (1, 2, 4, 3)), (5, 4, 3)),
        (((1, 2, 4, 3), "x", (1, 1, 4, 3)), (5, 4, 3)),
        (((1, 3), "x"), (5,)),
    ],
    ids=["behind", "on both sides", "vectors"],
)
@pytest.mark.parametrize("alike", [False, True])
def test_constants_beside_a_computed_value(inputs, shape, alike, tmp_path):
    arrays = {f"c{i}": normal(*size, seed=i) for i, size in enumerate(inputs) if size != "x"}
    arrays = (
        {
            n: np.broadcast_to(a.mean(axis=(0, *range(2, a.ndim)), keepdims=True), a.shape).copy()
            for n, a in arrays.items()
        }
        if alike
        else arrays
    )
    names = " ".join("x" if size == "x" else f"c{i}" for i, size in enumerate(inputs))
    nodes = [("Concat", names, "a", {"axis": 1}), ("Relu", "a", "y", {})]
    net = check(model(nodes, shape, arrays), tmp_path, normal(1, *shape))
    x = normal(3, *shape)
    np.testing.assert_array_equal(net(x)[1:2], net(x[1:2]))


@pytest.mark.parametrize(
    ("size", "axis"), [((1, 5, 1, 3), 2), ((2, 2, 4, 3), 1), ((1, 2, 4), 1)], ids=["rows", "batch", "rank"]
)
def test_constants_that_stand_otherwise_are_refused(size, axis, tmp_path):
    nodes = [("Concat", "x c", "y", {"axis": axis})]
    with pytest.raises(WeightsError, match=r"\(Concat\): joins a computed value with a constant"):
        load_model(model(nodes, (5, 4, 3), {"c": normal(*size)}), tmp_path)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[1], [2, 3], [3], [1, 2], [-2]], ids=str)
@pytest.mark.parametrize("kind", ["ReduceLogSumExp", "ReduceMin"])
def test_smooth_and_hard_extremes_over_axes(kind, axes, keep, tmp_path):
    nodes = [(kind, "x", "y", {"axes": axes, "keepdims": keep})]
    # exponentials of which overflow
    x = 100 * normal(2, 5, 4, 3)
    net = check(model(nodes, (5, 4, 3), opset=17), tmp_path, x)
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    of = torch.logsumexp if kind == "ReduceLogSumExp" else torch.amin
    y = of(leaf, axes, keepdim=bool(keep))
    y.sum().backward()
    ours, tape = net.trace(x.astype(np.float64))
    np.testing.assert_allclose(net.backward(tape, np.ones_like(ours)), leaf.grad, atol=1e-12)


def test_open_height_and_width(tmp_path):
    nodes = [
        ("Conv", "x w", "a", {"auto_pad": "SAME_UPPER"}),
        ("GlobalAveragePool", "a", "b", {}),
        ("Flatten", "b", "y", {}),
    ]
    proto = model(nodes, (3, "H", "W"), {"w": normal(4, 3, 3, 3)})
    for size in ((5, 7), (8, 6)):
        net = check(proto, tmp_path, normal(2, 3, *size), "Conv2d GlobalAvgPool2d Flatten")
    assert net.input_shape is None


def test_flatten_computed_from_the_shape(tmp_path):
    nodes = [
        ("Shape", "x", "s", {}),
        ("Gather", "s zero", "n", {"axis": 0}),
        ("Unsqueeze", "n axis", "n1", {}),
        ("Slice", "s one four", "rest", {}),
        ("ReduceProd", "rest", "count", {"keepdims": 1}),
        ("Concat", "n1 count", "target", {"axis": 0}),
        ("Reshape", "x target", "y", {}),
    ]
    constants = {"zero": np.array(0), "axis": np.array([0]), "one": np.array([1]), "four": np.array([4])}
    check(model(nodes, (3, 4, 5), constants), tmp_path, normal(2, 3, 4, 5), "Flatten")


def test_half_precision_weights_widen(tmp_path):
    constants = {"w": normal(4, 3, 2, 2).astype(np.float16), "b": normal(4).astype(np.float16)}
    net = load_model(model([("Conv", "x w b", "y", {})], (3, 5, 5), constants, kind=10), tmp_path)
    assert net.state_dict()["node y.weight"].dtype == np.float32
    np.testing.assert_array_equal(net.state_dict()["node y.weight"], constants["w"].astype(np.float32))


@pytest.mark.parametrize("dtype", ("float32", "float16", "float64"))
def test_typed_data_instead_of_raw(dtype, tmp_path):
    weight = normal(2, 3, 1, 1).astype(dtype)
    kind = numpy_helper.from_array(weight).data_type
    proto = model([("Conv", "x w", "y", {})], (3, 2, 2), kind=kind)
    proto.graph.initializer.append(onnx.helper.make_tensor("w", kind, weight.shape, weight.reshape(-1)))
    assert not proto.graph.initializer[0].raw_data
    np.testing.assert_array_equal(load_model(proto, tmp_path)["node y"].weight, weight)


# constants are folded as the suite says


def test_folding_against_the_suite(tmp_path):
    done, missed = 0, []
    for folder in (f for f in cases("node") if operators(f) <= constant_folding.FOLDED.keys()):
        given, wanted = tensors(folder, "input"), tensors(folder, "output")
        if any(a is None or a.dtype.name not in NAMES for a in [*given, wanted[0]]):
            continue
        try:
            value = folded(onnx.load(folder / "model.onnx"), given, tmp_path)
        except WeightsError as error:
            if "operators of version" not in str(error):
                missed.append(f"{folder.name}: {error}")
            continue
        done += 1
        assert value.shape == wanted[0].shape, folder.name
        np.testing.assert_allclose(value, wanted[0], rtol=1e-6, atol=2e-7, err_msg=folder.name)
    assert done >= 250 and not missed


@pytest.mark.parametrize("training", [0, 1])
def test_weights_standardised_by_a_normalisation(training, tmp_path):
    weight, statistics = normal(4, 3, 3, 3), {name: normal(4) ** 2 for name in ("scale", "shift", "mean", "var")}
    nodes = [
        ("Reshape", "weight flat", "a", {}),
        (
            "BatchNormalization",
            "a scale shift mean var",
            "b m v" if training else "b",
            {"training_mode": training, "epsilon": 1e-3},
        ),
        ("Reshape", "b shape", "c", {}),
        ("Conv", "x c", "y", {}),
    ]
    shapes = {"flat": np.array([1, 4, 27]), "shape": np.array([4, 3, 3, 3])}
    proto = model(nodes, (3, 8, 8), {"weight": weight, **statistics, **shapes}, opset=15)
    x = normal(2, 3, 8, 8)
    y, reference = run_net(load_model(proto, tmp_path), x), expected(proto.SerializeToString(), x)
    np.testing.assert_allclose(y, reference, rtol=0, atol=2e-6 * np.abs(reference).max())


NAMES = {"float32", "float64", "float16", "bool", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64))}


def folded(proto, inputs, folder):
    """The first output of a model all of whose inputs are constants."""
    (folder / "case.onnx").write_bytes(proto.SerializeToString())
    decoded = decoding.open_model(folder / "case.onnx")
    values = {p.name: constant_folding.Constant(a) for p, a in zip(proto.graph.input, inputs, strict=False)}
    budget = Budget(decoded.folder)
    for node in decoded.nodes:
        given = [values[n] if n else None for n in node.inputs]
        values[node.outputs[0]] = constant_folding.fold(node, given, decoded.opset, budget, decoded.folder)
    return values[decoded.outputs[0].name].array


# what there is no layer for


REFUSED = {
    "unknown": ([("Det", "x", "y", {})], r"'node y' \(Det\): no layer does this"),
    "sum of ranks": (
        [("Flatten", "x", "a", {}), ("Add", "x a", "y", {})],
        r"'node y' \(Add\): Add: the inputs are .* sizes must agree or be 1",
    ),
    "two filters": ([("Relu", "x", "a", {}), ("Conv", "x a", "y", {})], "'node y' .*"),
    "batch": ([("Reshape", "x target", "y", {})], r"mixes the images of a batch"),
    "window": (
        [
            *[("Mul", "x x", "a", {}), ("Unsqueeze", "a first", "b", {})],
            *[("AveragePool", "b", "c", {"kernel_shape": [5, 1, 1], "strides": [1, 1, 1]})],
            *[("Squeeze", "c first", "y", {})],
        ],
        r"'node c' \(AveragePool\): .*local response normalisation only",
    ),
    "even": ([("LRN", "x", "y", {"size": 4})], "even window"),
    "pool": (
        [("AveragePool", "x", "y", {"kernel_shape": [2, 2], "dilations": [2, 2]})],
        "dilations in an average",
    ),
    "batch size": (
        [("Shape", "x", "s", {}), ("Cast", "s", "f", {"to": 1}), ("Mul", "x f", "y", {})],
        "depends on the input's size",
    ),
    "shape": ([("Conv", "x w", "y", {})], "its weight has shape|expected 5 channels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_node(name, tmp_path):
    nodes, message = REFUSED[name]
    constants = {"target": np.array([6, -1]), "w": normal(4, 5, 1, 1), "first": np.array([1])}
    with pytest.raises(WeightsError, match=message) as caught:
        load_model(model(nodes, (3, 4, 4), constants, opset=19), tmp_path)
    assert "model.onnx" in str(caught.value)


def test_two_outputs_are_refused(tmp_path):
    proto = model([("Relu", "x", "y", {})], (3, 4, 4))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("x", 1, None))
    with pytest.raises(WeightsError, match=r"2 outputs \(y, x\)"):
        load_model(proto, tmp_path)


def test_loads_by_its_suffix(tmp_path):
    (tmp_path / "net.onnx").write_bytes(model([("Relu", "x", "y", {})], (3, 4, 4)).SerializeToString())
    net = minicnn.load(tmp_path / "net.onnx")
    assert isinstance(net.layers[0], layers.ReLU) and net.name == "net"
    with pytest.raises(WeightsError, match="no such file"):
        minicnn.load(tmp_path / "other.onnx")
