"""Activations and normalisations in ONNX files, as PyTorch's exporter writes them in several versions of ONNX."""

import io
import warnings
from copy import deepcopy

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from minicnn import layers
from minicnn.errors import WeightsError
from tests.conformance.onnx_graphs import expected, load_model, model, run_net

CLOSE = 1e-5  # single precision on both sides, of the largest value

MODULES = {
    "SiLU": nn.SiLU(),
    "Hardswish": nn.Hardswish(),
    "GELU": nn.GELU(),
    "GELU tanh": nn.GELU(approximate="tanh"),
    "Mish": nn.Mish(),
    "Hardsigmoid": nn.Hardsigmoid(),
    "ELU": nn.ELU(0.7),
    "SELU": nn.SELU(),
    "CELU": nn.CELU(0.7),
    "Softplus": nn.Softplus(),
    "Softplus steep": nn.Softplus(2.0),
    "Softsign": nn.Softsign(),
    "Sigmoid": nn.Sigmoid(),
    "LogSigmoid": nn.LogSigmoid(),
    "Hardtanh": nn.Hardtanh(-0.5, 0.7),
    "ReLU6": nn.ReLU6(),
    "PReLU": nn.PReLU(4),
    "LayerNorm": nn.LayerNorm(6),
    "LayerNorm of maps": nn.LayerNorm((4, 7, 6)),
    "GroupNorm": nn.GroupNorm(2, 4),
    "InstanceNorm2d": nn.InstanceNorm2d(4, affine=True),
    "InstanceNorm2d plain": nn.InstanceNorm2d(4),
    "RMSNorm": nn.RMSNorm(6),
}
# what the formulas of exporters are read as
READ_AS = {"SiLU": layers.SiLU, "Hardswish": layers.Hardswish, "Mish": layers.Mish}
READ_AS |= {
    "GELU": layers.GELU,
    "GELU tanh": layers.GELU,
    "Softsign": layers.Softsign,
    "LayerNorm": layers.LayerNorm,
}


def draw(module):
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return module.eval()


@pytest.mark.parametrize("opset", [11, 13, 17, 20])
@pytest.mark.parametrize("name", MODULES)
def test_exports_of_pytorch(name, opset, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), draw(deepcopy(MODULES[name])), nn.Conv2d(4, 2, 1)).eval()
    x, file = 3 * torch.randn(2, 3, 9, 8), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(module, (x[:1],), file, dynamo=False, opset_version=opset)
        except Exception as error:
            pytest.skip(str(error)[:80])
    net = load_model(onnx.load_from_string(file.getvalue()), tmp_path)
    leaf = x.double().requires_grad_()
    reference = module.double()(leaf)
    np.testing.assert_allclose(
        run_net(net, x.numpy()), reference.detach(), rtol=0, atol=CLOSE * reference.abs().max().item()
    )
    dy = np.random.default_rng(0).standard_normal(reference.shape)
    reference.backward(torch.from_numpy(dy))
    dx = net.input_gradient(x.double().numpy(), dy)
    np.testing.assert_allclose(dx, leaf.grad, rtol=0, atol=CLOSE * leaf.grad.abs().max().item())
    if name in READ_AS:
        assert any(type(layer) is READ_AS[name] for layer in net.layers)


SPELT = {
    "tf.keras' gelu": [
        *[("Mul", "x half", "a", {}), ("Mul", "x root", "b", {}), ("Erf", "b", "c", {})],
        *[("Add", "one c", "d", {}), ("Mul", "d a", "y", {})],
    ],
    "hard swish of MobileNetV3": [
        *[("Add", "x three", "a", {}), ("Clip", "a zero six", "b", {})],
        *[("Mul", "b sixth", "c", {}), ("Mul", "c x", "y", {})],
    ],
    # with torch.onnx.export(dynamo=True)
    "torch's softplus": [
        *[("Softplus", "x", "a", {}), ("Greater", "x three", "b", {}), ("Where", "b x a", "y", {})],
    ],
    "torch's softplus, steep": [
        *[("Mul", "x six", "a", {}), ("Softplus", "a", "b", {}), ("Div", "b six", "c", {})],
        *[("Greater", "a three", "d", {}), ("Where", "d x c", "y", {})],
    ],
    "torch's threshold": [("LessOrEqual", "x half", "a", {}), ("Where", "a three x", "y", {})],
    "a leaky choice": [
        *[("Greater", "x zero", "a", {}), ("Mul", "sixth x", "b", {}), ("Where", "a x b", "y", {})],
    ],
    "a choice": [("GreaterOrEqual", "x zero", "a", {}), ("Where", "a x zero", "y", {})],
}
CONSTANTS = {"half": 0.5, "root": 0.5**0.5, "one": 1, "three": 3, "zero": 0, "six": 6, "sixth": 1 / 6}
ONE_LAYER = (layers.GELU, layers.Hardswish, layers.Softplus, layers.Threshold, layers.LeakyReLU, layers.ReLU)


@pytest.mark.parametrize("name", SPELT)
def test_formulas_of_other_exporters(name, tmp_path):
    constants = {key: np.array(value, np.float32) for key, value in CONSTANTS.items()}
    proto = model(SPELT[name], (3, 5, 4), constants)
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4), dtype=np.float32)
    net = load_model(proto, tmp_path)
    assert [type(layer) in ONE_LAYER for layer in net.layers] == [True]
    np.testing.assert_allclose(run_net(net, x), expected(proto.SerializeToString(), x), rtol=0, atol=2e-6)


def test_choice_of_two_scales_is_no_softplus(tmp_path):
    nodes = [("Mul", "x six", "a", {}), ("Softplus", "a", "b", {}), ("Div", "b three", "c", {})]
    nodes += [("Greater", "a three", "d", {}), ("Where", "d x c", "y", {})]
    constants = {"three": np.float32(3), "six": np.float32(6)}
    with pytest.raises(WeightsError, match=r"\(Greater\): no layer"):
        load_model(model(nodes, (3, 5, 4), constants), tmp_path)


@pytest.mark.parametrize(
    ("op_type", "attributes", "layer"),
    [
        ("HardSigmoid", {"alpha": 0.3}, layers.Hardsigmoid(0.3)),
        ("Elu", {"alpha": 0.5}, layers.ELU(0.5)),
        ("Selu", {"alpha": 1.5, "gamma": 1.2}, layers.ELU(1.5, 1.2)),
        ("ThresholdedRelu", {"alpha": 0.4}, layers.Threshold(0.4, 0.0)),
        ("Reciprocal", {}, layers.Pow(-1.0)),
        ("Sqrt", {}, layers.Pow(0.5)),
        ("LpNormalization", {"axis": -1}, None),
        ("MeanVarianceNormalization", {"axes": [2, 3]}, layers.InstanceNorm2d(3, eps=1e-18)),
        ("Neg", {}, layers.Scale((), False)),
    ],
)
def test_operators_with_their_settings(op_type, attributes, layer, tmp_path):
    proto = model([(op_type, "x", "y", attributes)], (3, 5, 4))
    x = np.random.default_rng(0).random((2, 3, 5, 4), dtype=np.float32) + np.float32(0.1)
    net = load_model(proto, tmp_path)
    assert layer is None or repr(net.layers[0]) == repr(layer)
    np.testing.assert_allclose(run_net(net, x), expected(proto.SerializeToString(), x), rtol=1e-5, atol=1e-5)
