"""The zoo against torch modules with the published keys (tests/torch_zoo.py), and against published counts."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import minicnn
from minicnn import zoo
from minicnn.errors import MinicnnError, WeightsError
from minicnn.layers import sequence
from minicnn.network import Network
from tests.helpers.torch_zoo import MODULES, MTCNN

PARAMETERS = {  # as their authors or torchvision publish them
    "lenet5": 60_000 + 900 + 850,  # the paper's; kernels not in its table I; class scores for bitmaps
    "alexnet": 61_100_840,
    "alexnet-caffe": 60_965_224,
    "caffenet": 60_965_224,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "efficientnet-lite0": 4_652_008,
}
BOTH_IN_DOUBLE = 1e-9  # both sides compute in float64: a few hundred thousand roundings of 1e-16, and some slack


def shapes_of(name):
    return sequence.parameter_shapes(sequence.name_layers(zoo.architecture(name).layers))


def torch_shapes(module):
    return {k: tuple(v.shape) for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}


@pytest.mark.parametrize("name", PARAMETERS)
def test_has_as_many_parameters_as_published(name):
    learned = [s for k, s in shapes_of(name).items() if not k.endswith(("running_mean", "running_var"))]
    assert sum(int(np.prod(s)) for s in learned) == PARAMETERS[name]


@pytest.mark.parametrize("name", MODULES)
def test_state_dictionary_has_the_published_keys_and_shapes(name):
    with torch.device("meta"):
        expected = torch_shapes(MODULES[name]())
    unused = zoo.architecture(name).unused
    assert shapes_of(name) == {k: s for k, s in expected.items() if k.rpartition(".")[0] not in unused}


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_layers_fit_the_input_and_give_a_score_for_each_class(name):
    for classes in (None, 7):
        if name == "hed-vgg16" and classes:
            continue
        layers, input_shape, preprocess, *_ = zoo.architecture(name, classes)
        out = sequence.output_shape(sequence.name_layers(layers), input_shape)
        assert preprocess.size == input_shape[1:]
        assert len(preprocess.channels) == input_shape[0]
        if classes:
            assert out == (7,)
        elif name in MODULES and not name.startswith(("mtcnn", "hed")):
            assert out == (1000,)


# forward and input gradient


def randomise(module, seed=0):
    """``module`` in double precision and evaluation mode, its weights of He's size, its statistics not trivial."""
    torch.manual_seed(seed)
    module = module.double().eval()
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.1)
        elif isinstance(part, nn.BatchNorm2d):
            for value in (part.weight, part.running_var):
                nn.init.uniform_(value, 0.5, 1.5)
            for value in (part.bias, part.running_mean):
                nn.init.normal_(value, std=0.2)
        elif isinstance(part, nn.PReLU):
            nn.init.uniform_(part.weight, -0.5, 0.5)
    return module


def numpy_state(module):
    return {k: v.numpy() for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}


def assert_same(layers, f, state, shape, seed=1):
    """Assert that our ``layers`` and torch's ``f`` give the same output and the same input gradient."""
    net = Network.from_state_dict(layers, state)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    variable = torch.from_numpy(x.copy()).requires_grad_()
    expected = f(variable)
    dy = rng.standard_normal(expected.shape)
    expected.backward(torch.from_numpy(dy))
    y, tape = net.trace(x)
    scale = expected.detach().abs().max().item()
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=BOTH_IN_DOUBLE * scale)
    dx, slope = net.backward(tape, dy), variable.grad.abs().max().item()
    np.testing.assert_allclose(dx, variable.grad.numpy(), rtol=0, atol=BOTH_IN_DOUBLE * slope)
    assert scale > 0 and slope > 0


def before_flatten(pairs):
    pairs = list(pairs)
    return pairs[: [name for name, _ in pairs].index("flatten")]


@pytest.mark.parametrize("name", ["alexnet-caffe", "caffenet", "zfnet", "paper", "vgg-f", "vgg-m", "vgg-s"])
def test_convolutions_of_nets_with_response_normalisation(name):
    trunk = nn.Sequential()
    for child, part in before_flatten(MODULES[name]().named_children()):
        trunk.add_module(child, part)
    trunk = randomise(trunk)
    # sizes at which every pool has a ragged last window, or nearly every
    assert_same(before_flatten(zoo.architecture(name).layers), trunk, numpy_state(trunk), (1, 3, 95, 88))


@pytest.mark.parametrize("name", ["vgg11_bn", "vgg13", "vgg16_bn", "vgg19"])
def test_convolutions_of_vgg(name):
    module = randomise(MODULES[name]().features)
    state = {f"features.{key}": value for key, value in numpy_state(module).items()}
    assert_same(before_flatten(zoo.architecture(name).layers), module, state, (1, 3, 32, 32))


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1", "resnet18", "resnet34", "resnet50"])
def test_nets_without_a_fixed_input_size(name):
    module = randomise(MODULES[name]())
    assert_same(zoo.architecture(name).layers, module, numpy_state(module), (2, 3, 63, 70))


def test_alexnet_at_full_size():
    module = randomise(MODULES["alexnet"](classes=10))
    assert_same(zoo.architecture("alexnet", 10).layers, module, numpy_state(module), (1, 3, 224, 224))


def test_hed_trunk():
    module = randomise(MODULES["hed-vgg16"]())
    assert_same(zoo.architecture("hed-vgg16").layers, module, numpy_state(module), (1, 3, 32, 48))


MTCNN_HEADS = [("pnet", "P", 12), ("rnet", "R", 24), ("onet", "O", 48)]
MTCNN_HEADS = [(f"mtcnn-{n}", w, size, "score") for n, w, size in MTCNN_HEADS] + [
    *((f"mtcnn-{n}-box", w, size, "box") for n, w, size in MTCNN_HEADS),
    ("mtcnn-onet-landmarks", "O", 48, "landmarks"),
]


def one_head(state, name):
    unused = zoo.architecture(name).unused
    return {key: value for key, value in state.items() if key.rpartition(".")[0] not in unused}


@pytest.mark.parametrize(("name", "which", "size", "head"), MTCNN_HEADS)
def test_mtcnn_each_head(name, which, size, head):
    module = randomise(MTCNN(which))
    state = one_head(numpy_state(module), name)
    assert_same(zoo.architecture(name).layers, lambda x: module(x)[head], state, (3, 3, size, size))


def test_a_file_of_three_heads_loads_into_each(tmp_path):
    module = randomise(MTCNN("O")).float()
    torch.save(module.state_dict(), tmp_path / "onet.pt")
    x = np.random.default_rng(0).standard_normal((2, 3, 48, 48)).astype(np.float32)
    expected = module(torch.from_numpy(x))
    for head, name in [("score", "mtcnn-onet"), ("box", "mtcnn-onet-box"), ("landmarks", "mtcnn-onet-landmarks")]:
        y = minicnn.load(tmp_path / "onet.pt", architecture=name)(x)
        scale = expected[head].abs().max().item()
        np.testing.assert_allclose(y, expected[head].detach().numpy(), rtol=0, atol=1e-5 * scale)


def test_number_of_classes_is_read_from_the_file(tmp_path):
    module = randomise(MODULES["squeezenet1_1"]()).float()
    module.classifier[1] = nn.Conv2d(512, 5, 1)
    torch.save(module.state_dict(), tmp_path / "five.pth")
    x = np.zeros((1, 3, 224, 224), np.float32)
    assert minicnn.load(tmp_path / "five.pth", architecture="squeezenet1_1")(x).shape == (1, 5)


def test_lenet5_is_the_paper_s_with_the_squashing_folded_in():
    """The network of 1998, sums, coefficients, A tanh(S a), distances to bitmaps, against our tanh and scores."""
    rng = np.random.default_rng(0)
    a, s = 1.7159, 2 / 3
    shapes = {"c1": (6, 1, 5, 5), "c3": (16, 6, 5, 5), "c5": (120, 16, 5, 5), "f6": (84, 120)}
    weight = {k: rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) for k, shape in shapes.items()}
    coefficient = {"s2": rng.uniform(0.1, 0.4, 6), "s4": rng.uniform(0.1, 0.4, 16)}
    sizes = {"c1": 6, "s2": 6, "c3": 16, "s4": 16, "c5": 120, "f6": 84}
    bias = {k: 0.3 * rng.standard_normal(n) for k, n in sizes.items()}
    bitmaps = rng.choice([-1.0, 1.0], (10, 84))
    tensors = {k: torch.from_numpy(v) for k, v in (weight | coefficient).items()}

    def squash(x, name):
        return a * torch.tanh(s * (x + torch.from_numpy(bias[name]).reshape(-1, *[1] * (x.ndim - 2))))

    def subsample(x, name):
        four = 4 * nn.functional.avg_pool2d(x, 2)
        return squash(four * tensors[name].reshape(-1, 1, 1), name)

    def scores(x):
        for conv, sub in (("c1", "s2"), ("c3", "s4")):
            x = subsample(squash(nn.functional.conv2d(x, tensors[conv]), conv), sub)
        x = squash(nn.functional.conv2d(x, tensors["c5"]), "c5").flatten(1)
        x = squash(x @ tensors["f6"].T, "f6")
        distances = ((x[:, None] - torch.from_numpy(bitmaps)) ** 2).sum(2)
        return -distances + (x * x).sum(1, keepdim=True)

    scale = {"c1": s} | dict.fromkeys(("s2", "c3", "s4", "c5", "f6"), s * a)
    state = {f"{k}.weight": w * scale[k] for k, w in weight.items()}
    state |= {f"{k}.weight": 4 * scale[k] * c.reshape(-1, 1, 1, 1) for k, c in coefficient.items()}
    state |= {f"{k}.bias": s * b for k, b in bias.items()}
    # f6 is A times our tanh
    state |= {"output.weight": 2 * a * bitmaps, "output.bias": -(bitmaps**2).sum(1)}
    assert_same(zoo.architecture("lenet5").layers, scores, state, (3, 1, 32, 32))


# random weights


def draw_layer(name, layer_name, seed=0):
    architecture = zoo.architecture(name)
    return architecture.draw(layer_name, dict(architecture.layers)[layer_name], np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "layer", "std", "bias"),
    [
        ("alexnet", "features.0", 0.01, 0),
        ("alexnet", "features.3", 0.01, 1),
        ("alexnet", "features.6", 0.01, 0),
        ("alexnet", "features.8", 0.01, 1),
        ("alexnet", "features.10", 0.01, 1),
        ("alexnet", "classifier.4", 0.01, 1),
        ("alexnet", "classifier.6", 0.01, 0),
        ("alexnet-caffe", "conv4", 0.01, 0.1),
        ("alexnet-caffe", "fc7", 0.005, 0.1),
        ("alexnet-caffe", "fc8", 0.01, 0),
        ("caffenet", "conv2", 0.01, 1),
        ("caffenet", "conv3", 0.01, 0),
        ("zfnet", "conv4", 0.01, 0),
        ("paper", "conv5", 0.01, 1),
        ("paper", "fc8", 0.01, 0),
        ("vgg-m", "conv3", 0.1, 0),
        ("vgg16", "features.5", np.sqrt(2 / (9 * 128)), 0),
        ("vgg16", "classifier.3", 0.01, 0),
        ("resnet18", "conv1", np.sqrt(2 / (49 * 64)), None),
        ("squeezenet1_0", "features.0", np.sqrt(2 / (49 * 3)), 0),
        ("squeezenet1_0", "classifier.1", 0.01, 0),
        ("efficientnet-lite0", "_conv_stem", np.sqrt(2 / (9 * 32)), None),
        ("efficientnet-lite0", "_fc", 1 / np.sqrt(3 * 1000), 0),
    ],
)
def test_weights_are_drawn_as_published(name, layer, std, bias):
    state = draw_layer(name, layer)
    # estimated from n numbers the deviation is off by std / sqrt(2 n), the mean by std / sqrt(n); five times that
    n = state["weight"].size
    assert abs(state["weight"].std() / std - 1) < 5 / np.sqrt(2 * n)
    assert abs(state["weight"].mean()) < 5 * std / np.sqrt(n)
    assert state["weight"].dtype == np.float32
    if bias is None:
        assert set(state) == {"weight"}
    else:
        np.testing.assert_array_equal(state["bias"], np.float32(bias))


def test_lenet5_draws_within_the_paper_s_bounds_and_only_the_connections_of_table_1():
    weight = draw_layer("lenet5", "c3")["weight"]
    seen = (weight != 0).any(axis=(2, 3))
    assert seen.sum() == 60 and sorted(seen.sum(axis=1)) == [3] * 6 + [4] * 9 + [6]
    assert (seen.sum(axis=0) == 10).all()  # each map of s2 feeds ten maps of c3
    bound = 2.4 / (25 * seen.sum(axis=1)) * 1.7159 * 2 / 3
    assert (np.abs(weight).max(axis=(1, 2, 3)) <= bound).all()
    assert (np.abs(weight).max(axis=(1, 2, 3)) > 0.9 * bound).all()


def test_depthwise_filters_of_efficientnet_have_one_output_each():
    net = zoo.build("efficientnet-lite0")
    weight = net.state_dict()["_blocks.10._depthwise_conv.weight"]
    assert abs(weight.std() / np.sqrt(2 / 25) - 1) < 5 / np.sqrt(2 * weight.size)


def test_blocks_are_drawn_too_and_normalisation_is_the_identity():
    net = zoo.build("resnet18", num_classes=4)
    state = net.state_dict()
    weight = state["layer3.1.conv2.weight"]
    assert abs(weight.std() / np.sqrt(2 / (9 * 256)) - 1) < 5 / np.sqrt(2 * weight.size)
    assert (state["layer3.1.bn2.weight"] == 1).all() and (state["layer3.1.bn2.running_mean"] == 0).all()


def test_same_seed_same_weights_and_another_seed_others():
    one, same, other = (zoo.build("squeezenet1_1", seed=seed).state_dict() for seed in (3, 3, 4))
    for key, weight in one.items():
        np.testing.assert_array_equal(weight, same[key])
        assert key.endswith("bias") or not np.array_equal(weight, other[key])


def test_a_fresh_network_gives_finite_scores_that_differ():
    net = zoo.build("squeezenet1_1", num_classes=5)
    y = net(np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32))
    assert y.shape == (1, 5) and np.isfinite(y).all() and np.ptp(y) > 0


# refusals


def test_unknown_name_says_which_are_near():
    with pytest.raises(MinicnnError, match=r"unknown architecture 'vgg-16'; did you mean .*'vgg16'"):
        zoo.build("vgg-16")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        *(("resnet35", "resnet"), ("resnext50", "resnext"), ("wideresnet50", "wide"), ("vgg12", "vgg")),
        *(("regnet_x_4", "regnet"), ("mobilenet", "mobilenet"), ("Alexnt", "alexnet"), ("vgg_16_bn", "vgg")),
        *(("nasnet", None), ("hrnet", None), ("senet154", None), ("vit_b_16", None), ("seresnet50", None)),
    ],
)
def test_near_names_are_of_the_same_family(name, family):
    with pytest.raises(MinicnnError) as refusal:
        zoo.architecture(name)
    clause = str(refusal.value).rpartition(";")[2]
    assert clause.startswith(" did you mean") == (family is not None)
    assert family is None or all(near.startswith(family) for near in clause.split("'")[1::2])


def test_an_architecture_without_weights_is_told_from_an_unknown_name():
    with pytest.raises(MinicnnError, match=r"'resnet50': an architecture whose weights don't come with minicnn"):
        minicnn.load("resnet50")


@pytest.mark.parametrize("classes", [0, -1, 2.5, "ten"])
def test_number_of_classes_must_be_one(classes):
    with pytest.raises(MinicnnError, match="num_classes: expected a whole number"):
        zoo.build("alexnet", num_classes=classes)


def test_a_trunk_has_no_classes():
    with pytest.raises(MinicnnError, match="hed-vgg16: ends in feature maps"):
        zoo.build("hed-vgg16", num_classes=3)


def test_weights_of_another_net_are_refused_by_name():
    net = zoo.build("lenet5")
    with pytest.raises(WeightsError, match=r"missing c1.weight.*left over conv1.weight"):
        net.load_state_dict({"conv1.weight": np.zeros((6, 1, 5, 5), np.float32)})


# real weights, where the packages that ship them are on the path


def package_file(package, file):
    spec = importlib.util.find_spec(package)
    path = spec and Path(next(iter(spec.submodule_search_locations))) / file
    if not path or not path.exists():
        pytest.skip(f"the package {package} is not here")
    return path


@pytest.mark.parametrize(("name", "which", "size", "head"), MTCNN_HEADS)
def test_real_mtcnn(name, which, size, head):
    path = package_file("facenet_pytorch", f"data/{name.split('-')[1]}.pt")
    module = MTCNN(which).eval()
    module.load_state_dict(torch.load(path, weights_only=True))
    x = np.random.default_rng(0).uniform(-1, 1, (4, 3, size, size)).astype(np.float32)
    expected = module(torch.from_numpy(x))[head].detach().numpy()
    y = minicnn.load(path, architecture=name)(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
