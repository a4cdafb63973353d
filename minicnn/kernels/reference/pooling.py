"""Max-pool with its switches, average pool, global average pool."""

from __future__ import annotations

import numpy as np

from minicnn._utils.types import Padding, Pair
from minicnn.kernels.reference.windows import Windows

__all__ = [
    "avg_pool2d",
    "avg_pool2d_input_grad",
    "global_avg_pool2d",
    "global_avg_pool2d_input_grad",
    "max_pool2d",
    "max_pool2d_input_grad",
]


def max_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
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

    See Also
    --------
    max_pool2d_input_grad : its gradient
    torch.nn.functional.max_pool2d : the same in PyTorch; its indices count pixels of the map, not taps

    Notes
    -----
    Of several equal maxima the first in row order has the switch.  NaN beats every number.

    References
    ----------
    The paper, section 4: "X_{n+1}(p) = max_{q in Omega(p)} X_n(q)".

    Examples
    --------
    >>> y, switches = max_pool2d(np.array([[[[1.0, 9.0, 5.0, 4.0], [2.0, 3.0, 6.0, 6.0]]]]), 2)
    >>> y.tolist(), switches.tolist()
    ([[[[9.0, 6.0]]]], [[[[1, 2]]]])

    """
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    # every window starts at -inf, its switch at a tap inside: a map of -inf then has valid switches
    y = np.full(x.shape[:2] + windows.output_size, -np.inf, x.dtype)
    switches = np.broadcast_to(_first_tap_inside(windows), y.shape).copy()
    for r, s, tap in windows.taps(windows.pad(x, fill=-np.inf)):
        # > keeps the first of equal maxima; NaN compares false with everything, so it is asked for by name
        better = (tap > y) | np.isnan(tap)
        np.copyto(y, tap, where=better)
        np.copyto(switches, switches.dtype.type(r * windows.kernel_size[1] + s), where=better)
    return y, switches


def _first_tap_inside(windows: Windows) -> np.ndarray:
    """First tap (P, Q) of each window that lies on the input, so that no switch ever points at padding."""
    inside = windows.pad(np.ones((1, 1, *windows.size), bool), fill=False)
    # (R S, P, Q): whether each tap lies on the input
    hits = np.stack([tap[0, 0] for _, _, tap in windows.taps(inside)])
    return hits.argmax(axis=0).astype(np.uint8 if len(hits) <= 256 else np.uint16)


def max_pool2d_input_grad(
    dy: np.ndarray,
    switches: np.ndarray,
    input_size: tuple[int, int],
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> np.ndarray:
    """Gradient with respect to the input of a max-pool: dy goes to the switch; overlapping windows add.

    Parameters
    ----------
    dy, switches : arrays of shape (N, C, P, Q)
    input_size : (H, W)
    kernel_size, stride, padding, dilation, ceil_mode : as in ``max_pool2d``

    Returns
    -------
    dx : array of shape (N, C, H, W)

    See Also
    --------
    torch.nn.functional.max_unpool2d : the same in PyTorch where windows do not overlap

    References
    ----------
    The paper, section 4; Zeiler, Fergus 2013, "unpooling".

    Examples
    --------
    >>> dy, switches = np.array([[[[7.0, 8.0]]]]), np.array([[[[1, 2]]]], np.uint8)
    >>> max_pool2d_input_grad(dy, switches, (2, 4), 2).tolist()
    [[[[0.0, 7.0, 0.0, 0.0], [0.0, 0.0, 8.0, 0.0]]]]

    """
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, dilation, ceil_mode)
    padded = np.zeros(dy.shape[:2] + windows.padded_size, dy.dtype)
    for r, s, tap in windows.taps(padded):
        # only the windows whose maximum was this tap pass their dy to it
        tap += np.where(switches == r * windows.kernel_size[1] + s, dy, 0)
    return np.ascontiguousarray(windows.crop(padded))


def avg_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> np.ndarray:
    """Average pool: y(p) = sum_{q in Omega(p)} x(q) / |Omega(p)|.

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    kernel_size, stride, padding, ceil_mode : as in ``max_pool2d``; padding counts as zero
    count_include_pad : whether |Omega| counts the padding; the tail that ``ceil_mode`` adds is never counted

    Returns
    -------
    y : array of shape (N, C, P, Q)

    See Also
    --------
    avg_pool2d_input_grad : its gradient
    torch.nn.functional.avg_pool2d : the same in PyTorch

    Examples
    --------
    >>> avg_pool2d(np.array([[[[1.0, 3.0, 5.0], [1.0, 3.0, 8.0]]]]), 2, stride=1).tolist()
    [[[[2.0, 4.75]]]]

    """
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    total = sum(tap for _, _, tap in windows.taps(windows.pad(x)))
    return total / _tap_counts(windows, count_include_pad).astype(x.dtype)


def avg_pool2d_input_grad(
    dy: np.ndarray,
    input_size: tuple[int, int],
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> np.ndarray:
    """Gradient with respect to the input of an average pool.

    dx(q) = sum of dy(p) / |Omega(p)| over the p with q in Omega(p).

    Parameters
    ----------
    dy : array of shape (N, C, P, Q)
    input_size : (H, W)
    kernel_size, stride, padding, ceil_mode, count_include_pad : as in ``avg_pool2d``

    Returns
    -------
    dx : array of shape (N, C, H, W)

    Examples
    --------
    >>> avg_pool2d_input_grad(np.array([[[[4.0, 8.0]]]]), (2, 3), 2, stride=1).tolist()
    [[[[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]]]]

    """
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, 1, ceil_mode)
    # (N, C, P, Q): what each window sends to each of its pixels
    share = dy / _tap_counts(windows, count_include_pad).astype(dy.dtype)
    padded = np.zeros(dy.shape[:2] + windows.padded_size, dy.dtype)
    for _, _, tap in windows.taps(padded):
        tap += share
    return np.ascontiguousarray(windows.crop(padded))


def _tap_counts(windows: Windows, count_include_pad: bool) -> np.ndarray:
    """How many pixels (P, Q) of each window count; 1 for a window that lies on uncounted padding alone."""
    # 1 on every pixel that counts; the windows' sums over it are |Omega|
    counted = np.zeros((1, 1, *windows.padded_size))
    # the padding, but not the tail that ceil_mode adds behind it
    if count_include_pad:
        (top, bottom), (left, right) = windows.padding
        counted[:, :, : top + windows.size[0] + bottom, : left + windows.size[1] + right] = 1
    else:
        windows.crop(counted)[...] = 1
    counts = sum((tap[0, 0] for _, _, tap in windows.taps(counted)), np.zeros(windows.output_size))
    return np.maximum(counts, 1)


def global_avg_pool2d(x: np.ndarray) -> np.ndarray:
    """Mean of each map: (N, C, H, W) to (N, C, 1, 1).

    See Also
    --------
    global_avg_pool2d_input_grad : its gradient
    torch.nn.functional.adaptive_avg_pool2d : the same in PyTorch, with output_size=1

    Examples
    --------
    >>> global_avg_pool2d(np.array([[[[1.0, 2.0], [3.0, 6.0]]]])).tolist()
    [[[[3.0]]]]

    """
    return x.mean(axis=(2, 3), keepdims=True)


def global_avg_pool2d_input_grad(dy: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Gradient with respect to the input of a global average pool: dy / (H W) everywhere, (N, C, H, W).

    Examples
    --------
    >>> global_avg_pool2d_input_grad(np.array([[[[4.0]]]]), (2, 2)).tolist()
    [[[[1.0, 1.0], [1.0, 1.0]]]]

    """
    height, width = input_size
    # broadcast_to is read-only and shares memory, so the result is copied
    return np.broadcast_to(dy / dy.dtype.type(height * width), (*dy.shape[:2], height, width)).copy()
