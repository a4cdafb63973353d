"""Gradient, deconvnet and guided backpropagation through a network, against hooks on PyTorch's rectifiers."""

import numpy as np
import pytest
import torch

from minicnn.kernels import reference
from minicnn.rules import DECONVNET, GRADIENT, GUIDED
from tests.helpers.kernel_arrays import assert_close
from tests.helpers.torch_oracle import tensor


def torch_gradient(rule, x, dy, first, second, last):
    """dx by autograd; a rule other than the gradient is a hook that replaces each rectifier's gradient."""
    hooks = {
        "deconvnet": lambda module, dx, dy: (torch.clamp(dy[0], min=0),),
        "guided": lambda module, dx, dy: (torch.clamp(dx[0], min=0),),
    }
    conv1, conv2, full = torch.nn.Conv2d(2, 6, 3, padding=1), torch.nn.Conv2d(6, 4, 2), torch.nn.Linear(16, 3)
    net = torch.nn.Sequential(
        conv1,
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(3, stride=2),
        conv2,
        torch.nn.ReLU6(),
        torch.nn.Flatten(),
        full,
    ).double()
    with torch.no_grad():
        for module, weight in zip((conv1, conv2, full), (first, second, last), strict=True):
            module.weight.copy_(tensor(weight))
            module.bias.zero_()
    if rule.name in hooks:
        for module in (net[1], net[4]):
            module.register_full_backward_hook(hooks[rule.name])
    leaf = tensor(x).requires_grad_()
    net(leaf).backward(tensor(dy))
    return leaf.grad.numpy()


def our_gradient(rule, x, dy, first, second, last):
    h1, mask1 = reference.relu(reference.conv2d(x, first, padding=1))
    h2, switches = reference.max_pool2d(h1, 3, stride=2)
    h3, mask3 = reference.hardtanh(reference.conv2d(h2, second), 0, 6)
    dh3 = reference.linear_input_grad(dy, last).reshape(h3.shape)
    dh2 = reference.conv2d_input_grad(reference.relu_input_grad(dh3, mask3, rule), second, h2.shape[2:])
    dh1 = reference.max_pool2d_input_grad(dh2, switches, h1.shape[2:], 3, stride=2)
    return reference.conv2d_input_grad(reference.relu_input_grad(dh1, mask1, rule), first, (7, 7), padding=1)


@pytest.mark.parametrize("rule", [GRADIENT, DECONVNET, GUIDED], ids=lambda rule: rule.name)
def test_rules_through_a_network_are_torchs_hooks(rule):
    rng = np.random.default_rng(0)
    for _ in range(20):
        shapes = (2, 2, 7, 7), (2, 3), (6, 2, 3, 3), (4, 6, 2, 2), (3, 16)
        arrays = [rng.standard_normal(shape) for shape in shapes]
        assert_close(our_gradient(rule, *arrays), torch_gradient(rule, *arrays), 1e-10, rule.name)


def test_rules_by_hand():
    x, dy = np.array([-1.0, -1.0, 0.0, 2.0, 2.0, 2.0]), np.array([3.0, -3.0, 3.0, 3.0, -3.0, 0.0])
    mask = reference.relu(x)[1]
    assert reference.relu_input_grad(dy, mask, GRADIENT).tolist() == [0, 0, 0, 3, -3, 0]
    assert reference.relu_input_grad(dy, mask, DECONVNET).tolist() == [3, 0, 3, 3, 0, 0]
    assert reference.relu_input_grad(dy, mask, GUIDED).tolist() == [0, 0, 0, 3, 0, 0]
