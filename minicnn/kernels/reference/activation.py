"""ReLU and its kin: the only place where gradient, deconvnet and guided backpropagation differ."""

from __future__ import annotations

import numpy as np

from minicnn.rules import Rule

__all__ = [
    "hardtanh",
    "leaky_relu",
    "leaky_relu_input_grad",
    "prelu",
    "prelu_input_grad",
    "prelu_weight_grad",
    "relu",
    "relu_input_grad",
    "tanh",
    "tanh_input_grad",
]


def relu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rectifier y = max(x, 0), and its mask x > 0.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    y : array of that shape
    mask : bool array of that shape, where the derivative is 1

    See Also
    --------
    relu_input_grad : its gradient, by one of three rules
    torch.nn.functional.relu : the same in PyTorch

    References
    ----------
    The paper, section 4: "X_{n+1} = max(X_n, 0)".

    Examples
    --------
    >>> y, mask = relu(np.array([-1.0, 0.0, 2.0]))
    >>> y.tolist(), mask.tolist()
    ([0.0, 0.0, 2.0], [False, False, True])

    """
    return np.maximum(x, 0), x > 0


def hardtanh(x: np.ndarray, min_val: float, max_val: float) -> tuple[np.ndarray, np.ndarray]:
    """Values clipped to an interval, y = min(max(x, min_val), max_val), and the mask min_val < x < max_val.

    From 0 on it is a rectifier with a ceiling: ReLU6 ends at 6.

    See Also
    --------
    relu_input_grad : its gradient too, by this mask
    torch.nn.functional.hardtanh : the same in PyTorch

    Examples
    --------
    >>> y, mask = hardtanh(np.array([-1.0, 2.0, 7.0]), 0, 6)
    >>> y.tolist(), mask.tolist()
    ([0.0, 2.0, 6.0], [False, True, False])

    """
    # at either kink the derivative counts as 0
    return np.clip(x, min_val, max_val), (x > min_val) & (x < max_val)


def relu_input_grad(dy: np.ndarray, mask: np.ndarray, rule: Rule) -> np.ndarray:
    """Backward through ReLU or ``hardtanh`` by one of three rules.

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

    References
    ----------
    The paper, section 4, the table; Springenberg et al. 2014, figure 1, for guided backpropagation.

    Examples
    --------
    >>> from minicnn.rules import DECONVNET, GRADIENT, GUIDED
    >>> dy, mask = np.array([1.0, -1.0, 1.0, -1.0]), np.array([True, True, False, False])
    >>> for rule in (GRADIENT, DECONVNET, GUIDED):
    ...     print(rule.name, relu_input_grad(dy, mask, rule).tolist())
    gradient [1.0, -1.0, 0.0, 0.0]
    deconvnet [1.0, 0.0, 1.0, 0.0]
    guided [1.0, 0.0, 0.0, 0.0]

    """
    # where, not multiplication by the mask: 0 times an infinite or NaN cotangent is NaN
    if rule.where_input_positive:
        dy = np.where(mask, dy, 0)
    if rule.where_cotangent_positive:
        dy = np.where(dy > 0, dy, 0)
    return dy


def leaky_relu(x: np.ndarray, negative_slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Leaky rectifier: y = x where x > 0, else negative_slope x; and its mask x > 0.

    See Also
    --------
    leaky_relu_input_grad : its gradient
    torch.nn.functional.leaky_relu : the same in PyTorch

    Examples
    --------
    >>> y, mask = leaky_relu(np.array([-2.0, 3.0]), 0.5)
    >>> y.tolist(), mask.tolist()
    ([-1.0, 3.0], [False, True])

    """
    mask = x > 0
    # the slope in x's dtype, so that a NumPy float64 does not promote float32
    return np.where(mask, x, x.dtype.type(negative_slope) * x), mask


def leaky_relu_input_grad(dy: np.ndarray, mask: np.ndarray, negative_slope: float) -> np.ndarray:
    """Gradient with respect to the input: dy where the mask is set, else negative_slope dy.

    Examples
    --------
    >>> leaky_relu_input_grad(np.array([4.0, 4.0]), np.array([False, True]), 0.5).tolist()
    [2.0, 4.0]

    """
    return np.where(mask, dy, dy.dtype.type(negative_slope) * dy)


def prelu(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leaky rectifier with a learned slope for each channel, and its mask x > 0.

    y[n, c] = x[n, c] where x[n, c] > 0, else weight[c] x[n, c].

    Parameters
    ----------
    x : array of shape (N, C, ...)
    weight : array of shape (C,), or (1,) for one slope shared by all

    See Also
    --------
    prelu_input_grad, prelu_weight_grad : its gradients
    torch.nn.functional.prelu : the same in PyTorch

    References
    ----------
    He et al. 2015, equation 1.

    Examples
    --------
    >>> y, _ = prelu(np.array([[-1.0, -1.0]]), np.array([0.25, 0.5]))
    >>> y.tolist()
    [[-0.25, -0.5]]

    """
    mask = x > 0
    # (C, 1, 1) against (N, C, H, W), (C,) against (N, C)
    return np.where(mask, x, _per_channel(weight, x) * x), mask


def prelu_input_grad(dy: np.ndarray, mask: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient with respect to the input: dy where the mask is set, else weight[c] dy.

    Examples
    --------
    >>> prelu_input_grad(np.array([[4.0, 4.0]]), np.array([[True, False]]), np.array([0.25, 0.5])).tolist()
    [[4.0, 2.0]]

    """
    return np.where(mask, dy, _per_channel(weight, dy) * dy)


def prelu_weight_grad(x: np.ndarray, dy: np.ndarray, mask: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient with respect to the slopes: dweight[c] = sum of dy x over the pixels of channel c with x <= 0.

    Examples
    --------
    >>> x, dy = np.array([[-1.0, -3.0], [2.0, -1.0]]), np.ones((2, 2))
    >>> prelu_weight_grad(x, dy, x > 0, np.array([0.25, 0.5])).tolist()
    [-1.0, -4.0]

    """
    # dy/dweight is x where x <= 0, else 0
    terms = np.where(mask, 0, dy * x)
    # over every axis but the channels, (C,)
    per_channel = terms.sum(axis=tuple(axis for axis in range(x.ndim) if axis != 1))
    return per_channel if weight.size > 1 else per_channel.sum(keepdims=True)


def _per_channel(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Reshape (C,) so that it broadcasts along axis 1 of x."""
    return weight.reshape(-1, *[1] * (x.ndim - 2))


def tanh(x: np.ndarray) -> np.ndarray:
    """Hyperbolic tangent y = tanh(x), the squashing function of the networks before the rectifier.

    See Also
    --------
    tanh_input_grad : its gradient
    torch.tanh : the same in PyTorch

    Examples
    --------
    >>> tanh(np.array([0.0, 1.0])).round(4).tolist()
    [0.0, 0.7616]

    """
    return np.tanh(x)


def tanh_input_grad(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient with respect to the input, from the output: dx = dy (1 - y^2).

    Examples
    --------
    >>> tanh_input_grad(np.array([1.0, 1.0]), np.array([0.0, 0.5])).tolist()
    [1.0, 0.75]

    """
    return dy * (1 - y * y)
