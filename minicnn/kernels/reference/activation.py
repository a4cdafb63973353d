"""ReLU and its kin: the only place where gradient, deconvnet and guided backpropagation differ."""

import numpy as np

__all__ = [
    "leaky_relu",
    "leaky_relu_input_grad",
    "prelu",
    "prelu_input_grad",
    "prelu_weight_grad",
    "relu",
    "relu6",
    "relu_input_grad",
    "tanh",
    "tanh_input_grad",
]


def relu(x):
    """Rectifier y = max(x, 0), and its mask x > 0.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    y : array of that shape
    mask : bool array of that shape, where the derivative is 1

    Source: paper section 4, "X_{n+1} = max(X_n, 0)".

    """
    return np.maximum(x, 0), x > 0


def relu6(x):
    """Rectifier with a ceiling, y = min(max(x, 0), 6), and its mask 0 < x < 6."""
    return np.clip(x, 0, 6), (x > 0) & (x < 6)


def relu_input_grad(dy, mask, rule):
    """Backward through ReLU or ReLU6 by one of three rules.

    dx = dy [x > 0]^a [dy > 0]^b, with (a, b) = (1, 0) for the gradient, (0, 1) for the deconvnet, (1, 1) for
    guided backpropagation.

    Parameters
    ----------
    dy : array of any shape
    mask : bool array of that shape, from the forward
    rule : ``minicnn.rules.Rule``

    Returns
    -------
    dx : array of that shape

    Source: paper section 4, the table; Springenberg et al. 2014, figure 1, for guided.

    """
    if rule.where_input_positive:
        dy = np.where(mask, dy, 0)
    if rule.where_cotangent_positive:
        dy = np.where(dy > 0, dy, 0)
    return dy


def leaky_relu(x, negative_slope):
    """Leaky rectifier: y = x where x > 0, else negative_slope x; and its mask x > 0."""
    mask = x > 0
    return np.where(mask, x, x.dtype.type(negative_slope) * x), mask


def leaky_relu_input_grad(dy, mask, negative_slope):
    """Gradient with respect to the input: dy where the mask is set, else negative_slope dy."""
    return np.where(mask, dy, dy.dtype.type(negative_slope) * dy)


def prelu(x, weight):
    """Leaky rectifier with a learned slope for each channel, and its mask x > 0.

    Parameters
    ----------
    x : array of shape (N, C, ...)
    weight : array of shape (C,), or (1,) for one slope shared by all

    Source: He et al. 2015, equation 1.

    """
    mask = x > 0
    return np.where(mask, x, _per_channel(weight, x) * x), mask


def prelu_input_grad(dy, mask, weight):
    """Gradient with respect to the input: dy where the mask is set, else weight[c] dy."""
    return np.where(mask, dy, _per_channel(weight, dy) * dy)


def prelu_weight_grad(x, dy, mask, weight):
    """Gradient with respect to the slopes: dweight[c] = sum of dy x over the pixels of channel c with x <= 0."""
    terms = np.where(mask, 0, dy * x)
    per_channel = terms.sum(axis=tuple(axis for axis in range(x.ndim) if axis != 1))
    return per_channel if weight.size > 1 else per_channel.sum(keepdims=True)


def _per_channel(weight, x):
    return weight.reshape(-1, *[1] * (x.ndim - 2))


def tanh(x):
    """Hyperbolic tangent y = tanh(x), the squashing function of the networks before the rectifier."""
    return np.tanh(x)


def tanh_input_grad(dy, y):
    """Gradient with respect to the input of a hyperbolic tangent: dx = dy (1 - y^2)."""
    return dy * (1 - y * y)
