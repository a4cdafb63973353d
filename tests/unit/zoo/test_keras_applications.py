"""Weights of keras.applications under torchvision's names, in our order."""

import numpy as np
import pytest

from minicnn import zoo
from minicnn.layers import sequence
from minicnn.zoo.keras_applications import translate

VGG = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
DENSE = {"densenet121": (6, 12, 24, 16), "densenet201": (6, 12, 48, 32)}
NORM = ("weight", "bias", "running_mean", "running_var")


def keras_names(name):
    """Names as Keras's files have them, ``layer.parameter``."""
    if name in VGG:
        layers = [f"block{b}_conv{c}" for b, n in enumerate(VGG[name], 1) for c in range(1, n + 1)]
        return [f"{layer}.{p}" for layer in [*layers, "fc1", "fc2", "predictions"] for p in ("weight", "bias")]
    names = ["conv1_conv.weight", "predictions.weight", "predictions.bias"]
    blocks = [f"conv{b}_block{i}" for b, n in enumerate(DENSE[name], 2) for i in range(1, n + 1)]
    names += [f"{block}_{i}_conv.weight" for block in blocks for i in (1, 2)]
    norms = [f"{block}_{i}_bn" for block in blocks for i in (0, 1)] + ["conv1_bn", "bn"]
    for pool in ("pool2", "pool3", "pool4"):
        names, norms = [*names, f"{pool}_conv.weight"], [*norms, f"{pool}_bn"]
    return [*names, *(f"{norm}.{p}" for norm in norms for p in NORM)]


@pytest.mark.parametrize("name", [*VGG, *DENSE])
def test_every_name_has_its_place(name):
    arrays, preprocess = translate(name, {key: np.zeros(1, np.float32) for key in keras_names(name)})
    assert set(arrays) == set(sequence.parameter_shapes(zoo.architecture(name).layers))
    # VGG takes BGR values less a mean in Keras, DenseNet what torchvision gives it
    assert (preprocess.channels if preprocess else None) == ("BGR" if name in VGG else None)


def test_the_first_full_layer_of_vgg_reads_maps_flattened_as_channels_rows_columns():
    maps = np.random.default_rng(0).standard_normal((512, 7, 7)).astype(np.float32)
    weight = np.random.default_rng(1).standard_normal((2, 7 * 7 * 512)).astype(np.float32)
    arrays, _ = translate("vgg16", {"block1_conv1.weight": np.zeros(1), "fc1.weight": weight})
    expected = weight @ maps.transpose(1, 2, 0).ravel()
    np.testing.assert_allclose(arrays["classifier.0.weight"] @ maps.ravel(), expected, rtol=1e-4)


def test_epsilons_that_differ_are_made_up_for_by_the_variance():
    state = {"conv1_conv.weight": np.zeros(1), "bn.running_var": np.ones(2)}
    arrays, _ = translate("densenet121", state)
    np.testing.assert_allclose(arrays["features.norm5.running_var"] + 1e-5, 1 + 1.001e-5, rtol=1e-15)


def test_weights_of_another_origin_stay_as_they_are():
    state = {"features.0.weight": np.zeros(1), "fc1.weight": np.zeros((2, 25088))}
    arrays, preprocess = translate("vgg16", state)
    assert preprocess is None and all(arrays[key] is array for key, array in state.items())
