"""Convolution, its three gradients, and its transpose."""

from __future__ import annotations

import numpy as np

from minicnn._utils.types import Padding, Pair
from minicnn.kernels.reference.windows import Windows
from minicnn.shapes import pair, sides, transposed_size

__all__ = [
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_input_grad",
    "conv_transpose2d_weight_grad",
]


def _grouped(maps: np.ndarray, groups: int) -> np.ndarray:
    """Reshape maps (N, C, P, Q) to one matrix for each image and group: (N, G, C / G, P Q)."""
    n, c, p, q = maps.shape
    return maps.reshape(n, groups, c // groups, p * q)


def _tap(weight: np.ndarray, r: int, s: int, groups: int) -> np.ndarray:
    """Weights of tap (r, s) as one matrix for each group: (G, K / G, C / G)."""
    return weight[:, :, r, s].reshape(groups, weight.shape[0] // groups, weight.shape[1])


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """2-D convolution (cross-correlation).

    y[n, k, p, q] = bias[k] + sum_{c, r, s} weight[k, c, r, s] x[n, c, p stride + r dilation - top,
    q stride + s dilation - left], where x outside its borders is 0 and c runs over the channels of k's group.

    Parameters
    ----------
    x : array of shape (N, C, H, W), float32 or float64
    weight : array of shape (K, C / groups, R, S)
    bias : array of shape (K,), or None
    stride, dilation : int or pair
    padding : int, pair, or ((top, bottom), (left, right))
    groups : int; C for a depthwise convolution

    Returns
    -------
    y : array of shape (N, K, P, Q)

    See Also
    --------
    conv2d_input_grad, conv2d_weight_grad, conv2d_bias_grad : its gradients
    torch.nn.functional.conv2d : the same in PyTorch

    References
    ----------
    The paper, section 4: "X_{n+1} = X_n * K".

    Examples
    --------
    The differences of neighbours in a row, with a column of zeros on the left:

    >>> x = np.array([[[[1.0, 2.0, 4.0], [0.0, 5.0, 5.0]]]])
    >>> difference = np.array([[[[-1.0, 1.0]]]])
    >>> conv2d(x, difference, padding=((0, 0), (1, 0))).tolist()
    [[[[1.0, 1.0, 2.0], [0.0, 5.0, 0.0]]]]

    """
    windows = Windows.over(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    n, k, (p, q) = len(x), len(weight), windows.output_size
    # (N, G, K / G, P Q)
    y = np.zeros((n, groups, k // groups, p * q), x.dtype)
    # one product a tap over all positions at once, (K / G, C / G) by (C / G, P Q): no matrix of R S copies of x
    for r, s, tap in windows.taps(windows.pad(x)):
        y += _tap(weight, r, s, groups) @ _grouped(tap, groups)
    y = y.reshape(n, k, p, q)
    return y if bias is None else y + bias[:, None, None]


def conv2d_input_grad(
    dy: np.ndarray,
    weight: np.ndarray,
    input_size: tuple[int, int],
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """Gradient with respect to the input of a convolution: the adjoint of ``conv2d`` in x.

    dx[n, c, h, w] = sum of weight[k, c, r, s] dy[n, k, p, q] over all k, r, s, p, q whose tap reads (h, w);
    with stride 1, the convolution of dy by the flipped kernel.

    Parameters
    ----------
    dy : array of shape (N, K, P, Q)
    weight : array of shape (K, C / groups, R, S)
    input_size : (H, W)
    stride, padding, dilation, groups : as in ``conv2d``

    Returns
    -------
    dx : array of shape (N, C, H, W)

    See Also
    --------
    conv_transpose2d : the same as a layer of its own
    torch.nn.grad.conv2d_input : the same in PyTorch

    References
    ----------
    The paper, section 4: "df/dX_n = df/dX_{n+1} * flip(K)".

    Examples
    --------
    >>> dy, weight = np.array([[[[1.0, 0.0, 10.0]]]]), np.array([[[[-1.0, 1.0]]]])
    >>> conv2d_input_grad(dy, weight, (1, 4)).tolist()
    [[[[-1.0, 1.0, -10.0, 10.0]]]]

    """
    windows = Windows.over(tuple(input_size), weight.shape[2:], stride, padding, dilation)
    n, c, (p, q) = len(dy), weight.shape[1] * groups, windows.output_size
    padded = np.zeros((n, c, *windows.padded_size), dy.dtype)
    # tap is a view: adding into it adds dy to the pixels that it read, and overlapping windows add up
    for r, s, tap in windows.taps(padded):
        tap += (_tap(weight, r, s, groups).swapaxes(1, 2) @ _grouped(dy, groups)).reshape(n, c, p, q)
    # what fell on the padding is cut off
    return np.ascontiguousarray(windows.crop(padded))


def conv2d_weight_grad(
    x: np.ndarray,
    dy: np.ndarray,
    kernel_size: Pair,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """Gradient with respect to the weight of a convolution.

    dweight[k, c, r, s] = sum_{n, p, q} dy[n, k, p, q] x[n, c, p stride + r dilation - top, ...]

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    dy : array of shape (N, K, P, Q)
    kernel_size : (R, S)
    stride, padding, dilation, groups : as in ``conv2d``

    Returns
    -------
    dweight : array of shape (K, C / groups, R, S)

    See Also
    --------
    torch.nn.grad.conv2d_weight : the same in PyTorch

    Examples
    --------
    >>> x, dy = np.array([[[[1.0, 2.0, 4.0]]]]), np.array([[[[1.0, 10.0]]]])
    >>> conv2d_weight_grad(x, dy, (1, 2)).tolist()
    [[[[21.0, 42.0]]]]

    """
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, dilation)
    k, c = dy.shape[1], x.shape[1] // groups
    dweight = np.empty((k, c, *windows.kernel_size), x.dtype)
    for r, s, tap in windows.taps(windows.pad(x)):
        # (N, G, K / G, P Q) by (N, G, P Q, C / G): the sum over positions; that over images follows
        products = _grouped(dy, groups) @ _grouped(tap, groups).swapaxes(2, 3)
        dweight[:, :, r, s] = products.sum(axis=0).reshape(k, c)
    return dweight


def conv2d_bias_grad(dy: np.ndarray) -> np.ndarray:
    """Gradient with respect to the bias of a convolution: dbias[k] = sum_{n, p, q} dy[n, k, p, q].

    Examples
    --------
    >>> conv2d_bias_grad(np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])).tolist()
    [3.0, 7.0]

    """
    return dy.sum(axis=(0, 2, 3))


def conv_transpose2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """Transposed convolution: the input gradient of ``conv2d``, used as a forward operation.

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    weight : array of shape (C, K / groups, R, S)
    bias : array of shape (K,), or None
    stride, padding, dilation, groups : of the convolution that this one transposes
    output_padding : int or pair, less than the stride; rows and columns added at the bottom and the right

    Returns
    -------
    y : array of shape (N, K, P, Q) with P = (H - 1) stride - top - bottom + dilation (R - 1) + output_padding + 1

    See Also
    --------
    conv_transpose2d_input_grad, conv_transpose2d_weight_grad, conv2d_bias_grad : its gradients
    torch.nn.functional.conv_transpose2d : the same in PyTorch

    References
    ----------
    Zeiler, Fergus 2013, section 2.1: a deconvnet layer is a convolution with the transposed filters.

    Examples
    --------
    Each value places its multiple of the kernel, a stride further than the one before:

    >>> x, weight = np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 2.0, 3.0]]]])
    >>> conv_transpose2d(x, weight, stride=(1, 2)).tolist()
    [[[[1.0, 2.0, 13.0, 20.0, 30.0]]]]

    """
    size = transposed_size(
        x.shape[2:],
        weight.shape[2:],
        pair(stride, "stride"),
        sides(padding),
        pair(output_padding, "output_padding", minimum=0),
        pair(dilation, "dilation"),
    )
    # x stands for dy and y for dx: (C, K / G, R, S) is the weight of a convolution from K channels to C
    y = conv2d_input_grad(x, weight, size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return y if bias is None else y + bias[:, None, None]


def conv_transpose2d_input_grad(
    dy: np.ndarray,
    weight: np.ndarray,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """Gradient with respect to the input of a transposed convolution: the convolution that it transposes.

    Examples
    --------
    >>> dy, weight = np.array([[[[1.0, 0.0, 0.0, 0.0, 1.0]]]]), np.array([[[[1.0, 2.0, 3.0]]]])
    >>> conv_transpose2d_input_grad(dy, weight, stride=(1, 2)).tolist()
    [[[[1.0, 3.0]]]]

    """
    return conv2d(dy, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose2d_weight_grad(
    x: np.ndarray,
    dy: np.ndarray,
    kernel_size: Pair,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    """Gradient with respect to the weight of a transposed convolution: ``conv2d``'s with x and dy exchanged.

    Examples
    --------
    >>> x, dy = np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 0.0, 2.0, 0.0, 3.0]]]])
    >>> conv_transpose2d_weight_grad(x, dy, (1, 3), stride=(1, 2)).tolist()
    [[[[21.0, 0.0, 32.0]]]]

    """
    # dy is the input of the convolution that is transposed, x what comes out of it
    return conv2d_weight_grad(dy, x, kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups)
