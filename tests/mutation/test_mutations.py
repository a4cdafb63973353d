"""The check of gradients notices a few mutants, and applying one leaves the engine as it was."""

import numpy as np
import pytest

import minicnn
from minicnn.kernels import reference
from minicnn.verify import gradients
from tests.helpers.verify_cases import LAYERS, NETWORKS, normal
from tests.mutation.mutations import applied, mutants

MUTANTS = {mutant.name: mutant for mutant in mutants()}


@pytest.mark.parametrize(
    ("mutant", "layer"),
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
def test_the_check_notices(mutant, layer):
    layer, shape = LAYERS[layer]
    with applied(MUTANTS[mutant]):
        assert not gradients(layer, normal(shape), directions=1).ok
    assert gradients(layer, normal(shape), directions=1).ok


@pytest.mark.parametrize("mutant", ["loss-gradient-summed-over-the-batch", "flattened-channels-last"])
def test_the_check_notices_in_a_network(mutant):
    net = minicnn.Network(NETWORKS["piecewise linear"])
    with applied(MUTANTS[mutant]):
        rows = gradients(net, normal((2, 4, 6, 7)), directions=1).failures
    assert "(whole net)" in {row.layer for row in rows} or {row.kind for row in rows} == {"Flatten"}


def test_at_least_twenty_five_faults_each_with_a_source():
    assert len(MUTANTS) >= 25 and len(MUTANTS) == len(mutants())
    assert all("#" in mutant.source and "/" in mutant.source for mutant in MUTANTS.values())


def test_a_mutant_is_taken_away_again():
    right, x = reference.relu, np.zeros((1, 1))
    with applied(MUTANTS["derivative-of-relu-at-zero-is-one"]):
        assert reference.relu is not right and reference.relu(x)[1].all()
    assert reference.relu is right
