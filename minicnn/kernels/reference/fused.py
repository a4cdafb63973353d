"""Convolution, the affine map and the rectifier behind it as one operation: a fast device does it in one pass."""

import numpy as np

from minicnn.kernels.reference.activation import relu, relu6, relu_input_grad
from minicnn.kernels.reference.convolution import conv2d, conv2d_input_grad

__all__ = ["conv2d_relu", "conv2d_relu_input_grad"]


def conv2d_relu(
    x, weight, scale, shift, *, clip_max=None, stride=1, padding=0, dilation=1, groups=1, keep_mask=True
):
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

    Source: paper section 4, its two lines for convolution and rectifier.

    """
    y = _scaled(conv2d(x, weight, None, stride=stride, padding=padding, dilation=dilation, groups=groups), scale)
    y = y if shift is None else y + shift[:, None, None]
    y, mask = relu(y) if clip_max is None else relu6(y)
    return y, mask if keep_mask else None


def conv2d_relu_input_grad(
    dy, mask, rule, weight, scale, input_size, *, stride=1, padding=0, dilation=1, groups=1
):
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

    """
    dy = _scaled(relu_input_grad(dy, mask, rule), scale)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return conv2d_input_grad(np.ascontiguousarray(dy), weight, input_size, **geometry)


def _scaled(y, scale):
    return y if scale is None else y * scale[:, None, None]
