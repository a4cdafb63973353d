"""Max-pool with its switches, average pool, global average pool."""

import numpy as np

from minicnn.kernels.reference.windows import Windows

__all__ = [
    "avg_pool2d",
    "avg_pool2d_input_grad",
    "global_avg_pool2d",
    "global_avg_pool2d_input_grad",
    "max_pool2d",
    "max_pool2d_input_grad",
]


def max_pool2d(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Max-pool, and where each maximum was.

    y(p) = max_{q in Omega(p)} x(q); the switch of p is the arg max, as the tap's number r S + s in its window.

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    kernel_size, dilation : int or pair
    stride : int or pair; None is the kernel size
    padding : int, pair, or four sides; counts as minus infinity
    ceil_mode : round the output size up

    Returns
    -------
    y : array of shape (N, C, P, Q)
    switches : array of shape (N, C, P, Q), uint8 (uint16 for windows of more than 256 taps)

    Notes
    -----
    Of several equal maxima the first in row order has the switch.  NaN beats every number.

    Source: paper section 4, "X_{n+1}(p) = max_{q in Omega(p)} X_n(q)".

    """
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    y = np.full(x.shape[:2] + windows.output_size, -np.inf, x.dtype)
    switches = np.broadcast_to(_first_tap_inside(windows), y.shape).copy()
    for r, s, tap in windows.taps(windows.pad(x, fill=-np.inf)):
        better = (tap > y) | np.isnan(tap)
        np.copyto(y, tap, where=better)
        np.copyto(switches, switches.dtype.type(r * windows.kernel_size[1] + s), where=better)
    return y, switches


def _first_tap_inside(windows):
    """First tap (P, Q) of each window that lies on the input, so that no switch ever points at padding."""
    inside = windows.pad(np.ones((1, 1, *windows.size), bool), fill=False)
    hits = np.stack([tap[0, 0] for _, _, tap in windows.taps(inside)])
    return hits.argmax(axis=0).astype(np.uint8 if len(hits) <= 256 else np.uint16)


def max_pool2d_input_grad(
    dy, switches, input_size, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False
):
    """Gradient with respect to the input of a max-pool: dy goes to the switch; overlapping windows add.

    Parameters
    ----------
    dy, switches : arrays of shape (N, C, P, Q)
    input_size : (H, W)
    kernel_size, stride, padding, dilation, ceil_mode : as in ``max_pool2d``

    Returns
    -------
    dx : array of shape (N, C, H, W)

    Source: paper section 4; Zeiler, Fergus 2013, "unpooling".

    """
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, dilation, ceil_mode)
    padded = np.zeros(dy.shape[:2] + windows.padded_size, dy.dtype)
    for r, s, tap in windows.taps(padded):
        tap += np.where(switches == r * windows.kernel_size[1] + s, dy, 0)
    return np.ascontiguousarray(windows.crop(padded))


def avg_pool2d(x, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Average pool: y(p) = sum_{q in Omega(p)} x(q) / |Omega(p)|.

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    kernel_size, stride, padding, ceil_mode : as in ``max_pool2d``; padding counts as zero
    count_include_pad : whether |Omega| counts the padding; the tail that ``ceil_mode`` adds is never counted

    Returns
    -------
    y : array of shape (N, C, P, Q)

    """
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    total = sum(tap for _, _, tap in windows.taps(windows.pad(x)))
    return total / _tap_counts(windows, count_include_pad).astype(x.dtype)


def avg_pool2d_input_grad(
    dy, input_size, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """Gradient with respect to the input of an average pool.

    dx(q) = sum of dy(p) / |Omega(p)| over the p with q in Omega(p).

    Parameters as in ``avg_pool2d``, dy of shape (N, C, P, Q), ``input_size`` = (H, W).

    Returns
    -------
    dx : array of shape (N, C, H, W)

    """
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, 1, ceil_mode)
    share = dy / _tap_counts(windows, count_include_pad).astype(dy.dtype)
    padded = np.zeros(dy.shape[:2] + windows.padded_size, dy.dtype)
    for _, _, tap in windows.taps(padded):
        tap += share
    return np.ascontiguousarray(windows.crop(padded))


def _tap_counts(windows, count_include_pad):
    """How many pixels (P, Q) of each window count; 1 for a window that lies on uncounted padding alone."""
    counted = np.zeros((1, 1, *windows.padded_size))
    if count_include_pad:
        (top, bottom), (left, right) = windows.padding
        counted[:, :, : top + windows.size[0] + bottom, : left + windows.size[1] + right] = 1
    else:
        windows.crop(counted)[...] = 1
    return np.maximum(sum(tap for _, _, tap in windows.taps(counted))[0, 0], 1)


def global_avg_pool2d(x):
    """Mean of each map: (N, C, H, W) to (N, C, 1, 1)."""
    return x.mean(axis=(2, 3), keepdims=True)


def global_avg_pool2d_input_grad(dy, input_size):
    """Gradient with respect to the input of a global average pool: dy / (H W) everywhere, (N, C, H, W)."""
    height, width = input_size
    return np.broadcast_to(dy / dy.dtype.type(height * width), (*dy.shape[:2], height, width)).copy()
