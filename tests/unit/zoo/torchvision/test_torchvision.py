"""The names and shapes of torchvision's state dictionaries, and its scores where it is installed."""

import hashlib
import importlib

import numpy as np
import pytest
import torch

import minicnn
from minicnn import zoo
from minicnn.layers import sequence
from tests.unit.zoo.test_zoo import assert_same, numpy_state, randomise

# of torchvision 0.28: entries of the state dictionary without num_batches_tracked and what the architecture leaves
# out, and the start of the SHA-256 of its sorted lines "name shape"
FINGERPRINTS = {
    "alexnet": (16, "935c1ea73a7869ee"),
    "vgg11": (22, "b11acd4f90d9643f"),
    "vgg11_bn": (54, "eb52f2d89ad478d4"),
    "vgg13": (26, "79ca8fd7a1480aa7"),
    "vgg13_bn": (66, "e71996a6a29bacd7"),
    "vgg16": (32, "ba63c2556d912509"),
    "vgg16_bn": (84, "d8308b804a50efac"),
    "vgg19": (38, "393fac8b08b63fbe"),
    "vgg19_bn": (102, "8f342fea647d72df"),
    "squeezenet1_0": (52, "142983e4c19c76ad"),
    "squeezenet1_1": (52, "3fbd2a746421cada"),
    "resnet18": (102, "2bb53b15765c4651"),
    "resnet34": (182, "b945021fb00b779b"),
    "resnet50": (267, "cf11dad974eadeaa"),
    "resnet101": (522, "d916ed2068e1af5d"),
    "resnet152": (777, "2fe195791c8ffb5f"),
    "resnext50_32x4d": (267, "f6c1ee50d9878439"),
    "resnext101_32x8d": (522, "682c26d7ce488af8"),
    "resnext101_64x4d": (522, "ed1563233073e615"),
    "wide_resnet50_2": (267, "5b22ca8fa50e0423"),
    "wide_resnet101_2": (522, "c1f0689a35d4d3f6"),
    "densenet121": (606, "222a58d1fd8d2818"),
    "densenet161": (806, "9d03c4eb4e4ceb81"),
    "densenet169": (846, "a9eb5c1c253d9342"),
    "densenet201": (1006, "aaf6c59d276cc495"),
    "convnext_tiny": (182, "ddd0f74f783edf2b"),
    "convnext_small": (344, "6c5c4d12ec41e5f7"),
    "convnext_base": (344, "a2ebf7cb23991629"),
    "convnext_large": (344, "b0ce25f12797812b"),
    "googlenet": (287, "b2fadd85b321b7a9"),
    "inception_v3": (472, "5beceaea5a4204b9"),
    "efficientnet_b0": (311, "b5ec7b4b5e4fedbb"),
    "efficientnet_b1": (439, "1f5cde5a1ed036f9"),
    "efficientnet_b2": (439, "0dbc4ac8a0f40c25"),
    "efficientnet_b3": (496, "a78a6fe55721a28c"),
    "efficientnet_b4": (610, "d5f2bdadab7f41bc"),
    "efficientnet_b5": (738, "33800e0779416f4e"),
    "efficientnet_b6": (852, "12227c2910fad473"),
    "efficientnet_b7": (1037, "1019a0c28dcf05bc"),
    "efficientnet_v2_s": (672, "63498c34974c0241"),
    "efficientnet_v2_m": (963, "840bd1d7f5e26178"),
    "efficientnet_v2_l": (1331, "5950c1bddea72180"),
    "mobilenet_v2": (262, "d613ea65450d5318"),
    "mobilenet_v3_small": (210, "c5aae8a56256fe35"),
    "mobilenet_v3_large": (266, "2af4cb8a399e8d82"),
    "mnasnet0_5": (262, "04f736ea0d1f331f"),
    "mnasnet0_75": (262, "a9980c48af58deee"),
    "mnasnet1_0": (262, "b1a4ee79a5b4a56d"),
    "mnasnet1_3": (262, "239bd12a70848219"),
    "regnet_x_400mf": (357, "4d12f1772d20ece8"),
    "regnet_x_800mf": (267, "ae847176c091f6ca"),
    "regnet_x_1_6gf": (297, "26eca42978eb2088"),
    "regnet_x_3_2gf": (402, "9a88c182ccc22c51"),
    "regnet_x_8gf": (372, "f51a7cb44e379afd"),
    "regnet_x_16gf": (357, "d9ffa0f7e01e8aff"),
    "regnet_x_32gf": (372, "2eb1bd6704fff7e3"),
    "regnet_y_400mf": (331, "cb7f2c2686cdf294"),
    "regnet_y_800mf": (293, "991608fe1d40d132"),
    "regnet_y_1_6gf": (540, "3b97470281b7d1e9"),
    "regnet_y_3_2gf": (426, "a7a871f25a474ea7"),
    "regnet_y_8gf": (350, "777fdc66c881971b"),
    "regnet_y_16gf": (369, "47a05bbc69b66815"),
    "regnet_y_32gf": (407, "5174db34bab78407"),
    "regnet_y_128gf": (540, "515fc92bae91a969"),
    "shufflenet_v2_x0_5": (282, "cfd56088815d0861"),
    "shufflenet_v2_x1_0": (282, "c95a672d46729790"),
    "shufflenet_v2_x1_5": (282, "24ba8d5b6dea8896"),
    "shufflenet_v2_x2_0": (282, "0402cbc7fa88c28b"),
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_state_dictionary_has_torchvision_s_names_and_shapes(name):
    shapes = sequence.parameter_shapes(sequence.name_layers(zoo.architecture(name).layers))
    assert (len(shapes), fingerprint(shapes)) == FINGERPRINTS[name]


def fingerprint(shapes):
    # a parameter of the block itself in torch
    names = {key: key.replace("layer_scale.weight", "layer_scale") for key in shapes}
    lines = sorted(f"{names[key]} {tuple(shape)}" for key, shape in shapes.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def models():
    try:
        return importlib.import_module("torchvision.models")
    except Exception as error:  # a wheel for another build of torch fails in more ways than one
        pytest.skip(f"torchvision: {error}")


# one net a page, the smallest
SMALLEST = """resnext50_32x4d densenet121 googlenet inception_v3 mobilenet_v2 mobilenet_v3_small mnasnet0_5
efficientnet_b0 efficientnet_v2_s regnet_x_400mf regnet_y_400mf shufflenet_v2_x0_5
convnext_tiny""".split()


@pytest.mark.parametrize("name", SMALLEST)
def test_scores_and_input_gradient_are_torchvision_s(name, models):
    options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    module = randomise(getattr(models, name)(weights=None, num_classes=10, **options))
    for part in module.modules():
        if isinstance(part, torch.nn.Hardsigmoid):
            # torch's own gradient of it has 1/6 in float32, even for float64
            part.forward = lambda x: torch.clamp(x + 3, 0, 6) / 6
        elif isinstance(part, torch.nn.Hardswish):
            part.forward = lambda x: x * torch.clamp(x + 3, 0, 6) / 6
    architecture = zoo.architecture(name, 10)
    state = {k: v for k, v in numpy_state(module).items() if k.rpartition(".")[0] not in architecture.unused}
    side = 96 if name == "inception_v3" else 64
    assert_same(architecture.layers, module, state, (1, 3, side, side))


def test_a_published_file_with_auxiliary_classifiers_and_old_names_loads(tmp_path):
    net = zoo.build("densenet121", num_classes=3)
    state = {k: torch.from_numpy(v.copy()) for k, v in net.state_dict().items()}
    # the names of 2017, which the published file still has
    old = {k.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for k, v in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "densenet121-a639ec97.pth")
    loaded = minicnn.load(tmp_path / "densenet121-a639ec97.pth", architecture="densenet121")
    for key, value in loaded.state_dict().items():
        np.testing.assert_array_equal(value, state[key])


def test_a_parameter_that_torch_s_block_holds_itself_is_found():
    net = zoo.build("convnext_tiny", num_classes=2)
    state = {k.replace("layer_scale.weight", "layer_scale"): v + 1 for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    np.testing.assert_array_equal(net.state_dict()["features.1.0.layer_scale.weight"], 2)
