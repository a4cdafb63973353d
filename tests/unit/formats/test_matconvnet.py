"""MatConvNet's .mat files, written by SciPy from torch modules with random weights: same scores and gradients."""

import numpy as np
import pytest
import scipy.io
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import minicnn
from minicnn.errors import WeightsError
from minicnn.formats import matconvnet
from tests.helpers.weight_faults import EDITS, edited

RELATIVE = 1e-5  # float32 on both sides, a few thousand products a sum


def cells(*items):
    row = np.empty((1, len(items)), object)
    for i, item in enumerate(items):
        row[0, i] = item
    return row


def filters(weight):
    """(K, C, R, S) as MATLAB has it: H x W x C x K, last axes of 1 dropped."""
    array = weight.detach().numpy().transpose(2, 3, 1, 0)
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    return np.asfortranarray(array)


def row(*values):
    return np.array([values], np.float64)


def conv(name, module, **fields):
    bias = np.zeros((0, 0), np.float32) if module.bias is None else module.bias.detach().numpy()[None]
    return {"type": "conv", "name": name, "weights": cells(filters(module.weight), bias), **fields}


def randomised(module, seed=0):
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, std=0.2)
        elif isinstance(part, nn.BatchNorm2d):
            for value in (part.weight, part.running_var):
                nn.init.uniform_(value, 0.5, 2)
            for value in (part.bias, part.running_mean):
                nn.init.normal_(value)
    return module.eval()


def bnorm_arrays(module):
    deviation = torch.sqrt(module.running_var + module.eps)
    moments = torch.stack([module.running_mean, deviation], 1)
    return [a.detach().numpy() for a in (module.weight[:, None], module.bias[:, None], moments)]


def meta(size, **fields):
    return {"normalization": {"imageSize": row(*size), **fields}}


def saved(path, net, compressed=False):
    scipy.io.savemat(path, net, do_compression=compressed)
    return path


def assert_same(net, f, shape, seed=0):
    """Assert that the network and torch's ``f`` have the same scores and the same input gradient."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    expected = f(leaf)
    dy = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
    expected.backward(torch.from_numpy(dy))
    y, tape = net.trace(x)
    scale, slope = expected.abs().max().item(), leaf.grad.abs().max().item()
    assert scale > 0 and slope > 0
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=RELATIVE * scale)
    np.testing.assert_allclose(net.backward(tape, dy), leaf.grad.numpy(), rtol=0, atol=RELATIVE * slope)


# SimpleNN


class Simple(nn.Module):
    """All that a SimpleNN may hold, with what is peculiar to MatConvNet in each layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, (3, 5), stride=(2, 1))
        self.conv2 = nn.Conv2d(8, 6, 3, padding=1, groups=2)
        self.bn2 = nn.BatchNorm2d(6, eps=1e-4)
        self.conv3 = nn.Conv2d(6, 6, 3, dilation=2, bias=False)
        self.fc = nn.Conv2d(6, 5, (1, 2))

    def forward(self, x):
        x = F.relu(self.conv1(F.pad(x, (0, 1, 1, 2))))  # pad [1 2 0 1]: top, bottom, left, right
        x = F.local_response_norm(x, 5, alpha=5 * 2e-2, beta=0.75, k=2.0)  # alpha not divided by 5
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-np.inf), 3, 2)
        x = F.leaky_relu(self.bn2(self.conv2(x)), 0.1)
        ones = torch.ones_like(x[:1, :1])
        x = F.avg_pool2d(x, 3, 2, 1, divisor_override=1) / F.avg_pool2d(ones, 3, 2, 1, divisor_override=1)
        return self.fc(self.conv3(F.pad(x, (1, 1, 1, 1)))).flatten(1)


def simple_layers(module):
    weight, bias, moments = bnorm_arrays(module.bn2)
    return cells(
        conv("conv1", module.conv1, pad=row(1, 2, 0, 1), stride=row(2, 1)),
        {"type": "relu", "name": "relu1"},
        {"type": "lrn", "name": "norm1", "param": row(5, 2, 2e-2, 0.75)},
        {
            "type": "pool",
            "name": "pool1",
            "method": "max",
            "pool": row(3, 3),
            "stride": 2.0,
            "pad": row(0, 1, 0, 1),
        },
        conv("conv2", module.conv2, pad=1.0, stride=1.0),
        {"type": "bnorm", "name": "bn2", "weights": cells(weight, bias, moments)},
        {"type": "relu", "name": "relu2", "leak": 0.1},
        {
            "type": "pool",
            "name": "pool2",
            "method": "avg",
            "pool": row(3, 3),
            "stride": row(2, 2),
            "pad": row(1, 1, 1, 1),
        },
        conv("conv3", module.conv3, pad=1.0, dilate=2.0),
        {"type": "dropout", "name": "drop", "rate": 0.4},
        conv("fc", module.fc),
        {"type": "softmax", "name": "prob"},
    )


def simple_file(path, compressed=False, **extra):
    module = randomised(Simple())
    return module, saved(path, {"layers": simple_layers(module), "meta": meta((22, 20, 3), **extra)}, compressed)


@pytest.mark.parametrize("compressed", [False, True])
def test_simple_network(tmp_path, compressed):
    module, path = simple_file(tmp_path / "net.mat", compressed)
    net = minicnn.load(path)
    assert net.input_shape == (3, 22, 20) and net.names[-2:] == ["flatten", "prob"]
    assert_same(net, module, (2, 3, 22, 20))


def test_network_in_a_variable_and_of_the_first_years(tmp_path):
    """Filters and biases as fields, "normalize", classes and normalization beside the layers, a loss."""
    module = randomised(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 6)))
    layers = cells(
        {"type": "conv", "filters": filters(module[0].weight), "biases": module[0].bias.detach().numpy()[None]},
        {"type": "normalize", "param": row(5, 1, 1e-2, 0.5)},
        {"type": "relu"},
        conv("fc2", module[2], pad=0.0),
        {"type": "softmaxloss"},
    )
    net = {
        "layers": layers,
        "classes": {"name": cells("n1", "n2"), "description": cells("tench", "cat")},
        "normalization": {"imageSize": row(8, 8, 3), "averageImage": np.zeros((0, 0))},
    }
    net = minicnn.load(saved(tmp_path / "net.mat", {"net": net}))
    assert net.names == ["layer1", "layer2", "layer3", "fc2", "flatten"] and net.labels == ["tench", "cat"]

    def forward(x):
        x = F.local_response_norm(module[0](x), 5, alpha=5e-2, beta=0.5, k=1.0)
        return module[2](F.relu(x)).flatten(1)

    assert_same(net, forward, (3, 3, 8, 8))


def test_one_filter_and_full_layers_of_one_pixel(tmp_path):
    """MATLAB drops last axes of 1: 1 x 1 x 4 x 1 is stored as 1 x 1 x 4, 1 x 1 x 1 x 1 as 1 x 1."""
    module = randomised(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 1, 1), nn.Conv2d(1, 1, 1)))
    layers = cells(*(conv(f"fc{i}", part) for i, part in enumerate(module)))
    net = minicnn.load(saved(tmp_path / "net.mat", {"layers": layers, "meta": meta((3, 3, 1))}))
    assert_same(net, lambda x: module(x).flatten(1), (2, 1, 3, 3))


def test_maps_at_the_end_stay_maps_and_transposed_convolution(tmp_path):
    module = randomised(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2)))
    up = module[1]
    weight = np.asfortranarray(up.weight.detach().numpy().transpose(2, 3, 1, 0))
    convt = {
        "type": "convt",
        "name": "up",
        "weights": cells(weight, up.bias.detach().numpy()[None]),
        "upsample": 2.0,
        "crop": row(1, 0, 2, 1),
        "numGroups": 2.0,
    }
    net = minicnn.load(
        saved(tmp_path / "net.mat", {"layers": cells(conv("c", module[0]), convt), "meta": meta((9, 9, 3))})
    )
    assert_same(net, lambda x: module(x)[:, :, 1:, 2:-1], (1, 3, 9, 9))


def test_without_an_image_size(tmp_path):
    module = randomised(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 4)))
    net = minicnn.load(saved(tmp_path / "net.mat", {"layers": cells(conv("a", module[0]), conv("b", module[1]))}))
    assert net.input_shape is None and net.preprocess is None and net.labels is None
    assert_same(net, lambda x: module(x).flatten(1), (2, 3, 6, 6))


# DagNN


def structs(items):
    """List of dictionaries as a structure array, the way DagNN.saveobj leaves layers and params."""
    array = np.empty((1, len(items)), dtype=[(name, object) for name in items[0]])
    for i, item in enumerate(items):
        array[0, i] = tuple(item.values())
    return array


def dag_layer(name, kind, inputs, output, params=(), **block):
    block = block or {"numInputs": 1.0}
    return {
        "name": name,
        "type": f"dagnn.{kind}",
        "inputs": cells(*inputs),
        "outputs": cells(output),
        "params": cells(*params),
        "block": block,
    }


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6, eps=1e-3)
        self.conv2 = nn.Conv2d(6, 6, 3, 1, 1, bias=False)
        self.left, self.right = nn.Conv2d(6, 2, 1), nn.Conv2d(6, 4, 3, 1, 1)
        self.out = nn.Conv2d(6, 5, 1)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(x + self.conv2(x))
        x = torch.cat([self.left(x), F.leaky_relu(self.right(x), 0.2)], 1)
        return self.out(F.avg_pool2d(x, 5)).flatten(1)


def dag_file(path, change=None):
    module = randomised(Residual())
    convs = {name: part for name, part in module.named_children() if isinstance(part, nn.Conv2d)}
    params = [
        {"name": f"{name}{kind}", "value": value, "learningRate": 1.0}
        for name, part in convs.items()
        for kind, value in (("_f", filters(part.weight)), ("_b", part.bias))
        if value is not None
    ]
    for param in params:
        if isinstance(param["value"], torch.Tensor):
            param["value"] = param["value"].detach().numpy()[:, None]
    for name, value in zip(("bn_w", "bn_b", "bn_m"), bnorm_arrays(module.bn1), strict=True):
        params.append({"name": name, "value": value, "learningRate": 1.0})
    both = {name: (f"{name}_f", f"{name}_b") for name in convs}
    layers = [
        dag_layer("conv1", "Conv", ["data"], "x1", both["conv1"], pad=row(1, 1, 1, 1), stride=row(2, 2)),
        dag_layer("bn1", "BatchNorm", ["x1"], "x2", ["bn_w", "bn_b", "bn_m"], epsilon=1e-3),
        dag_layer("relu1", "ReLU", ["x2"], "x3", opts=cells()),
        dag_layer("conv2", "Conv", ["x3"], "x4", ["conv2_f"], pad=row(1, 1, 1, 1), hasBias=False),
        dag_layer("sum", "Sum", ["x3", "x4"], "x5"),
        dag_layer("relu2", "ReLU", ["x5"], "x6", leak=0.0),
        dag_layer("left", "Conv", ["x6"], "x7", both["left"]),
        dag_layer("right", "Conv", ["x6"], "x8", both["right"], pad=1.0),
        dag_layer("relu3", "ReLU", ["x8"], "x9", opts=cells("leak", 0.2)),
        dag_layer("concat", "Concat", ["x7", "x9"], "x10", dim=3.0),
        dag_layer("pool", "Pooling", ["x10"], "x11", method="avg", poolSize=row(5, 5)),
        dag_layer("out", "Conv", ["x11"], "prediction", both["out"]),
        dag_layer("objective", "Loss", ["prediction", "label"], "objective", loss="softmaxlog"),
    ]
    layers = layers[::-1] if change is None else change(layers)
    net = {"layers": structs(layers), "params": structs(params), "meta": meta((9, 9, 3), border=row(2, 2))}
    return module, saved(path, net)


def test_graph_with_sum_and_concatenation_in_any_order(tmp_path):
    module, path = dag_file(tmp_path / "net.mat")
    net = minicnn.load(path)
    assert {"sum", "concat", "relu2", "flatten"} <= set(net.names)
    assert_same(net, module, (2, 3, 9, 9))


def altered(index, **fields):
    def change(layers):
        layers[index] = layers[index] | fields
        return layers

    return change


def name_twice(layers):
    return altered(4, inputs=cells("x3", "x2"))(altered(3, outputs=cells("x2"))(layers))


GRAPH_FAULTS = {
    "a cycle": (altered(1, inputs=cells("x6")), "reads what no layer before it gives"),
    "two inputs": (altered(3, inputs=cells("other")), "one input, found 2"),
    "two outputs": (altered(10, inputs=cells("x6")), "one output, found 2"),
    "a shared parameter": (altered(6, params=cells("out_f", "out_b")), "shares parameters"),
    "a name twice": (name_twice, "two layers write to one variable"),
    "an unknown layer": (
        altered(5, type="dagnn.Crop"),
        r"'relu2' \(Crop\): minicnn has no such layer",
    ),
    "another axis": (altered(9, block={"dim": 1.0}), "another axis than the channels"),
    "a missing parameter": (altered(0, params=cells("none", "none")), r"'conv1' \(conv\): expected filters"),
}


@pytest.mark.parametrize("case", GRAPH_FAULTS)
def test_graphs_that_are_refused(tmp_path, case):
    change, message = GRAPH_FAULTS[case]
    _, path = dag_file(tmp_path / "net.mat", change)
    with pytest.raises(WeightsError, match=message) as caught:
        minicnn.load(path)
    assert str(caught.value).startswith(str(path))


# what is refused in a layer


@pytest.mark.parametrize(
    ("index", "fields", "message"),
    [
        (1, {"type": "spnorm"}, r"layer 'relu1' \(spnorm\): minicnn has no such layer"),
        (1, {"type": "custom"}, "minicnn has no such layer"),
        (2, {"param": row(4, 2, 1e-4, 0.75)}, "odd N, found"),
        (2, {"param": row(np.inf, 2, 1e-4, 0.75)}, "odd N, found"),
        (3, {"method": "median"}, "expected 'max' or 'avg', found 'median'"),
        (3, {"pool": row(2.5, 2)}, "pool: expected whole numbers"),
        (3, {"pool": row(np.nan, 2)}, "pool: expected whole numbers"),
        (3, {"stride": 0.0}, "stride"),
        (3, {"pad": row(3, 3, 0, 0)}, "layer 'pool1'.*must be smaller than the window"),
        (3, {"pad": row(1, 2, 3)}, "four sides"),
        (3, {"stride": row(1, 2, 3)}, "one number or two"),
        (4, {"weights": cells(np.zeros((3, 3, 3, 6), np.float32), np.zeros((1, 6)))}, "do not fit 8 channels"),
        (4, {"weights": cells(np.zeros((3, 3, 4, 6), np.float32), np.zeros((1, 5)))}, "5 biases do not fit 6"),
        (4, {"weights": cells()}, "expected filters"),
        (5, {"weights": cells(np.ones((6, 1)), np.ones((6, 1)))}, "expected multipliers, biases and moments"),
        (5, {"weights": cells(np.ones((6, 1)), np.ones((6, 1)), np.zeros((6, 2)))}, "deviations of 0"),
        (9, {"rate": 1.0}, "layer 'drop'.*probability"),
    ],
)
def test_layers_that_are_refused_by_name(tmp_path, index, fields, message):
    layers = simple_layers(randomised(Simple()))
    layers[0, index] = layers[0, index] | fields
    path = saved(tmp_path / "net.mat", {"layers": layers, "meta": meta((22, 20, 3))})
    with pytest.raises(WeightsError, match=message):
        minicnn.load(path)


def test_a_matlab_file_without_a_network(tmp_path):
    with pytest.raises(WeightsError, match="found a MATLAB file with images, labels"):
        minicnn.load(saved(tmp_path / "data.mat", {"images": row(1), "labels": row(2)}))


# preprocessing and classes


def preprocess(tmp_path, **fields):
    return minicnn.load(simple_file(tmp_path / "net.mat", **fields)[1]).preprocess


def test_mean_image(tmp_path):
    average = np.random.default_rng(0).uniform(90, 130, (22, 20, 3)).astype(np.float32)
    preprocessing = preprocess(tmp_path, averageImage=average)
    np.testing.assert_array_equal(preprocessing.mean, average.transpose(2, 0, 1))
    assert (
        preprocessing.channels == "RGB"
        and preprocessing.size == (22, 20)
        and preprocessing.interpolation == "bicubic"
    )
    picture = np.random.default_rng(1).integers(0, 256, (22, 20, 3), np.uint8)
    expected = picture.transpose(2, 0, 1).astype(np.float32) - preprocessing.mean
    np.testing.assert_allclose(preprocessing(picture)[0], expected, atol=1e-4)
    net = minicnn.load(tmp_path / "net.mat")
    minicnn.save(net, tmp_path / "net.npz")
    again = minicnn.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.preprocess.mean, preprocessing.mean)
    assert list(again.state_dict()) == list(net.state_dict())


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 1), (1, 3)])
def test_mean_pixel(tmp_path, shape):
    average = np.array([123.5, 116.5, 103.5], np.float32).reshape(shape)
    assert preprocess(tmp_path, averageImage=average).mean == (123.5, 116.5, 103.5)


def test_mean_image_of_another_size_counts_as_its_mean_pixel(tmp_path):
    average = np.full((30, 30, 3), 7, np.float32)
    average[:15, :, 0] = 9
    assert preprocess(tmp_path, averageImage=average).mean == (8.0, 7.0, 7.0)


@pytest.mark.parametrize(
    ("fields", "resize"),
    [
        ({}, None),
        ({"border": row(10, 12)}, 30),
        ({"border": row(0, 0)}, None),
        ({"fullImageSize": 32.0}, 32),
        ({"cropSize": 0.875}, 23),
        ({"cropSize": row(-1)}, None),
    ],
)
def test_resize(tmp_path, fields, resize):
    assert preprocess(tmp_path, **fields).resize == resize


def test_standard_deviations_mean_values_of_0_to_1(tmp_path):
    preprocessing = preprocess(tmp_path, averageImage=row(0.5, 0.25, 0.125), imageStd=row(0.25, 0.25, 0.5))
    assert (preprocessing.scale, preprocessing.mean, preprocessing.std) == (
        1 / 255,
        (0.5, 0.25, 0.125),
        (0.25, 0.25, 0.5),
    )


@pytest.mark.parametrize("std", [(0.25, 0.25), (0.25, -0.25, 0.5), (0.25, np.nan, 0.5), (0.25, 0.0, 0.5)], ids=str)
def test_standard_deviations_that_divide_nothing_are_refused(tmp_path, std):
    with pytest.raises(WeightsError, match="imageStd: expected 3 numbers above 0"):
        preprocess(tmp_path, averageImage=row(0.5, 0.25, 0.125), imageStd=row(*std))


def test_a_mean_of_no_numbers_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="averageImage: holds NaN or infinity"):
        preprocess(tmp_path, averageImage=row(104, np.inf, 124))


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        ({"name": cells(*"abcde"), "description": cells(*"vwxyz")}, list("vwxyz")),
        ({"name": cells(*"abcde")}, list("abcde")),
        ({"name": cells(*"abcdef")}, None),
        ("nonsense", None),
    ],
)
def test_labels(tmp_path, classes, labels):
    net = {"layers": simple_layers(randomised(Simple())), "meta": meta((22, 20, 3)) | {"classes": classes}}
    assert minicnn.load(saved(tmp_path / "net.mat", net)).labels == labels


def test_a_network_of_scores_survives_our_own_file(tmp_path):
    _, path = simple_file(tmp_path / "net.mat")
    net = minicnn.load(path)
    minicnn.save(net, tmp_path / "net.npz")
    x = np.random.default_rng(0).standard_normal((1, 3, 22, 20)).astype(np.float32)
    np.testing.assert_array_equal(minicnn.load(tmp_path / "net.npz")(x), net(x))


# damage


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mat")
    paths = [simple_file(folder / "a.mat")[1], dag_file(folder / "b.mat")[1]]
    return folder / "edited.mat", [path.read_bytes() for path in paths]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(edits=EDITS, which=st.integers(0, 1))
def test_any_edit_gives_a_network_or_a_weights_error(whole, edits, which):
    path, files = whole
    path.write_bytes(edited(files[which], edits))
    try:
        matconvnet.read(path)
    except WeightsError as error:
        assert str(error).replace(str(path), "").isprintable()
