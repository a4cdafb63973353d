"""A few exhibits of the museum, and that hanging one and taking it down leaves the engine as it was."""

import numpy as np
import pytest

import minicnn
from minicnn.kernels import reference
from minicnn.verify import gradients
from tests.helpers.verify_cases import LAYERS, NETWORKS, normal
from tests.mutation.mutations import exhibits, hung

EXHIBITS = {e.name: e for e in exhibits()}


@pytest.mark.parametrize(
    ("exhibit", "layer"),
    [
        ("flipped-kernel", "Conv2d"),
        ("dilation-ignored-in-the-input-gradient", "Conv2d"),
        ("groups-mixed-up-in-the-weight-gradient", "Conv2d"),
        ("output-padding-on-the-wrong-side", "ConvTranspose2d"),
        ("computed-in-single-precision", "Conv2d"),
        ("overlapping-windows-overwrite", "MaxPool2d"),
        ("ties-to-the-last-maximum", "MaxPool2d"),
        ("switches-of-the-padded-input", "MaxPool2d"),
        ("derivative-of-relu-at-zero-is-one", "ReLU"),
        ("derivative-of-relu6-at-its-kinks-is-one", "ReLU6"),
        ("mask-from-the-sign-of-the-output", "PReLU"),
        ("lrn-cross-term-with-its-own-cotangent", "LocalResponseNorm"),
        ("gradient-of-the-shortcut-dropped", "Residual"),
    ],
)
def test_the_check_notices(exhibit, layer):
    layer, shape = LAYERS[layer]
    with hung(EXHIBITS[exhibit]):
        assert not gradients(layer, normal(shape), directions=1).ok
    assert gradients(layer, normal(shape), directions=1).ok


@pytest.mark.parametrize("exhibit", ["loss-gradient-summed-over-the-batch", "flattened-channels-last"])
def test_the_check_notices_in_a_network(exhibit):
    net = minicnn.Network(NETWORKS["piecewise linear"])
    with hung(EXHIBITS[exhibit]):
        rows = gradients(net, normal((2, 4, 6, 7)), directions=1).failures
    assert "(whole net)" in {row.layer for row in rows} or {row.kind for row in rows} == {"Flatten"}


def test_at_least_twenty_five_faults_each_with_a_source():
    assert len(EXHIBITS) >= 25 and len(EXHIBITS) == len(exhibits())
    assert all("#" in e.source and "/" in e.source for e in EXHIBITS.values())


def test_an_exhibit_is_taken_down_again():
    right, x = reference.relu, np.zeros((1, 1))
    with hung(EXHIBITS["derivative-of-relu-at-zero-is-one"]):
        assert reference.relu is not right and reference.relu(x)[1].all()
    assert reference.relu is right
