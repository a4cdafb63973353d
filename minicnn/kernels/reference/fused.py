"""Convolution, affine map and rectifier as one operation, which a fast device does in one pass over memory."""

from __future__ import annotations

import numpy as np

from minicnn._utils.types import Padding, Pair
from minicnn.kernels.reference.activation import hardtanh, relu, relu_input_grad
from minicnn.kernels.reference.convolution import conv2d, conv2d_input_grad
from minicnn.rules import Rule

__all__ = ["conv2d_relu", "conv2d_relu_input_grad"]


def conv2d_relu(
    x: np.ndarray,
    weight: np.ndarray,
    scale: np.ndarray | None,
    shift: np.ndarray | None,
    *,
    clip_max: float | None = None,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    keep_mask: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rectified convolution y = min(max(scale[k] (x * weight)[k] + shift[k], 0), clip_max), and its mask.

    Parameters
    ----------
    x : array of shape (N, C, H, W), float32 or float64
    weight : array of shape (K, C / groups, R, S)
    scale, shift : arrays of shape (K,), or None for 1 and 0: a fixed batch normalisation, or a bias
    clip_max : None for ReLU, 6 for ReLU6
    stride, padding, dilation, groups : as for ``conv2d``
    keep_mask : bool
        Without, there is no mask, and no memory for one: for a forward pass alone.

    Returns
    -------
    y : array of shape (N, K, P, Q)
    mask : bool array of that shape, where the rectifier's derivative is 1; None without ``keep_mask``

    See Also
    --------
    conv2d_relu_input_grad : its gradient with respect to the input

    References
    ----------
    The paper, section 4, its two lines for convolution and rectifier.

    Examples
    --------
    >>> x, weight = np.array([[[[1.0, 2.0, 4.0]]]]), np.array([[[[1.0, -1.0]]]])
    >>> y, mask = conv2d_relu(x, weight, np.array([-2.0]), np.array([-3.0]))  # -2 (x * weight) - 3
    >>> y.tolist(), mask.tolist()
    ([[[[0.0, 1.0]]]], [[[[False, True]]]])

    """
    # the convolution has no bias: the shift comes after the scale
    y = _scale(conv2d(x, weight, None, stride=stride, padding=padding, dilation=dilation, groups=groups), scale)
    y = y if shift is None else y + shift[:, None, None]
    y, mask = relu(y) if clip_max is None else hardtanh(y, 0, clip_max)
    return y, mask if keep_mask else None


def conv2d_relu_input_grad(
    dy: np.ndarray,
    mask: np.ndarray,
    rule: Rule,
    weight: np.ndarray,
    scale: np.ndarray | None,
    input_size: tuple[int, int],
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """Gradient with respect to the input: back through the rectifier by its rule, the scale, the convolution.

    Parameters
    ----------
    dy : array of shape (N, K, P, Q)
    mask : bool array of that shape, from the forward
    rule : ``minicnn.rules.Rule``
    weight, scale : as for ``conv2d_relu``
    input_size : (H, W)

    Returns
    -------
    dx : array of shape (N, C, H, W)

    Examples
    --------
    >>> from minicnn.rules import GRADIENT
    >>> dy, mask = np.array([[[[1.0, 1.0]]]]), np.array([[[[False, True]]]])
    >>> conv2d_relu_input_grad(dy, mask, GRADIENT, np.array([[[[1.0, -1.0]]]]), np.array([-2.0]), (1, 3)).tolist()
    [[[[0.0, -2.0, 2.0]]]]

    """
    # in the reverse order of the forward; the shift has no part in it
    dy = _scale(relu_input_grad(dy, mask, rule), scale)
    return conv2d_input_grad(
        np.ascontiguousarray(dy),
        weight,
        input_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


def _scale(y: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    return y if scale is None else y * scale[:, None, None]
