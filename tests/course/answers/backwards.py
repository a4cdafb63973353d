"""Answers to the exercises of notebook 2, right ones in three ways and wrong ones as readers write them."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _convolve(x, w):
    return np.einsum("kcrs,ncpqrs->nkpq", w, sliding_window_view(x, w.shape[2:], axis=(2, 3)))


def _spread(dy, stride, size):
    wide = np.zeros((*dy.shape[:2], *size))
    wide[:, :, : stride * dy.shape[2] : stride, : stride * dy.shape[3] : stride] = dy
    return wide


def _pool_windows(dy, size, stride, input_size, overwrite=False):
    dx = np.zeros((*dy.shape[:2], *input_size))
    for p in range(dy.shape[2]):
        for q in range(dy.shape[3]):
            window = dx[:, :, p * stride : p * stride + size, q * stride : q * stride + size]
            share = dy[:, :, p, q, None, None] / size**2
            window[...] = share if overwrite else window + share
    return dx


def _pool_collect(dy, size, stride, input_size):
    dx = np.zeros((*dy.shape[:2], *input_size))
    for h in range(input_size[0]):
        for v in range(input_size[1]):
            for p in range(dy.shape[2]):
                for q in range(dy.shape[3]):
                    if 0 <= h - p * stride < size and 0 <= v - q * stride < size:
                        dx[:, :, h, v] += dy[:, :, p, q] / size**2
    return dx


def _pool_matrices(dy, size, stride, input_size):
    # along each axis a matrix of 0 and 1: which window reads which pixel
    reads = [
        np.array([[0 <= h - p * stride < size for h in range(side)] for p in range(outputs)], float)
        for side, outputs in zip(input_size, dy.shape[2:], strict=True)
    ]
    return np.einsum("ph,ncpq,qv->nchv", reads[0], dy, reads[1]) / size**2


POOL_RIGHT = [_pool_windows, _pool_collect, _pool_matrices]
POOL_WRONG = {
    "= for +=": lambda *arguments: _pool_windows(*arguments, overwrite=True),
    "not divided": lambda dy, size, stride, input_size: size**2 * _pool_windows(dy, size, stride, input_size),
    "divided by the side": lambda dy, size, stride, input_size: size * _pool_windows(dy, size, stride, input_size),
    "windows that touch, whatever the stride": lambda dy, size, stride, input_size: np.pad(
        np.repeat(np.repeat(dy, size, 2), size, 3) / size**2,
        (
            *((0, 0), (0, 0)),
            (0, max(input_size[0] - size * dy.shape[2], 0)),
            (0, max(input_size[1] - size * dy.shape[3], 0)),
        ),
    )[:, :, : input_size[0], : input_size[1]],
    "the rest of the image left out": lambda dy, size, stride, input_size: _pool_windows(
        dy, size, stride, tuple(stride * (n - 1) + size for n in dy.shape[2:])
    ),
    "divided by how many windows read a pixel": lambda dy, size, stride, input_size: (
        _pool_windows(dy, size, stride, input_size)
        / np.maximum(_pool_windows(np.ones_like(dy), size, stride, input_size), 1 / size**2)
    ),
    "height and width changed": lambda dy, size, stride, input_size: _pool_windows(
        dy.swapaxes(2, 3), size, stride, input_size[::-1]
    ),
}


def _padded_turned(dy, w, input_size, stride, padding):
    (H, W), (R, S) = input_size, w.shape[2:]
    wide = _spread(dy, stride, (H + 2 * padding - R + 1, W + 2 * padding - S + 1))
    around = np.pad(wide, ((0, 0), (0, 0), (R - 1, R - 1), (S - 1, S - 1)))
    dx = _convolve(around, w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    return dx[:, :, padding : padding + H, padding : padding + W]


def _padded_hand_out(dy, w, input_size, stride, padding, overwrite=False):
    (H, W), (R, S) = input_size, w.shape[2:]
    dx = np.zeros((len(dy), w.shape[1], H + 2 * padding, W + 2 * padding))
    for p in range(dy.shape[2]):
        for q in range(dy.shape[3]):
            window = dx[:, :, p * stride : p * stride + R, q * stride : q * stride + S]
            share = np.einsum("nk,kcrs->ncrs", dy[:, :, p, q], w)
            window[...] = share if overwrite else window + share
    return dx[:, :, padding : padding + H, padding : padding + W]


def _padded_matrix(dy, w, input_size, stride, padding):
    # the whole matrix of the layer, transposed
    shape = (w.shape[1], *input_size)
    units = np.eye(np.prod(shape)).reshape(-1, *shape)
    padded = np.pad(units, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    outputs = _convolve(padded, w)[:, :, ::stride, ::stride].reshape(len(units), -1)
    return (dy.reshape(len(dy), -1) @ outputs.T).reshape(-1, *shape)


PADDED_RIGHT = [_padded_turned, _padded_hand_out, _padded_matrix]
PADDED_WRONG = {
    "= for +=": lambda *arguments: _padded_hand_out(*arguments, overwrite=True),
    "not turned": lambda dy, w, *rest: _padded_turned(dy, w[:, :, ::-1, ::-1], *rest),
    "padding not cut off": lambda dy, w, input_size, stride, padding: _padded_turned(
        dy, w, tuple(side + 2 * padding for side in input_size), stride, 0
    ),
    "padding cut at the end": lambda dy, w, input_size, stride, padding: _padded_turned(
        dy, w, tuple(side + 2 * padding for side in input_size), stride, 0
    )[:, :, : input_size[0], : input_size[1]],
    "stride forgotten": lambda dy, w, input_size, stride, padding: _padded_turned(
        dy, w, tuple(n + taps - 1 for n, taps in zip(dy.shape[2:], w.shape[2:], strict=True)), 1, 0
    ),
    "the rest of the image left out": lambda dy, w, input_size, stride, padding: _padded_turned(
        dy,
        w,
        tuple(stride * (n - 1) + taps - 2 * padding for n, taps in zip(dy.shape[2:], w.shape[2:], strict=True)),
        stride,
        padding,
    ),
}


def _dilated_hand_out(x, w, dy, dilation):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    span = [dilation * (taps - 1) + 1 for taps in w.shape[2:]]
    for p in range(dy.shape[2]):
        for q in range(dy.shape[3]):
            rows, columns = slice(p, p + span[0], dilation), slice(q, q + span[1], dilation)
            dx[:, :, rows, columns] += np.einsum("nk,kcrs->ncrs", dy[:, :, p, q], w)
            dw += np.einsum("nk,ncrs->kcrs", dy[:, :, p, q], x[:, :, rows, columns])
    return dx, dw


def _dilated_wide(x, w, dy, dilation):
    # a filter with zeros between its taps is an ordinary one
    wide = _spread(w, dilation, tuple(dilation * (taps - 1) + 1 for taps in w.shape[2:]))
    R, S = wide.shape[2:]
    around = np.pad(dy, ((0, 0), (0, 0), (R - 1, R - 1), (S - 1, S - 1)))
    dx = _convolve(around, wide[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    dw = _convolve(x.transpose(1, 0, 2, 3), dy.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    return dx, dw[:, :, ::dilation, ::dilation]


def _dilated_taps(x, w, dy, dilation):
    P, Q = dy.shape[2:]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for k in range(len(w)):
        for c in range(w.shape[1]):
            for r in range(w.shape[2]):
                for s in range(w.shape[3]):
                    rows, columns = (slice(dilation * t, dilation * t + n) for t, n in ((r, P), (s, Q)))
                    dx[:, c, rows, columns] += w[k, c, r, s] * dy[:, k]
                    dw[k, c, r, s] = (dy[:, k] * x[:, c, rows, columns]).sum()
    return dx, dw


DILATED_RIGHT = [_dilated_hand_out, _dilated_wide, _dilated_taps]
DILATED_WRONG = {
    "turned about": lambda x, w, dy, dilation: (
        _dilated_wide(x, w[:, :, ::-1, ::-1], dy, dilation)[0],
        _dilated_wide(x, w, dy, dilation)[1],
    ),
    "weights of the first image alone": lambda x, w, dy, dilation: (
        _dilated_wide(x, w, dy, dilation)[0],
        _dilated_wide(x[:1], w, dy[:1], dilation)[1],
    ),
    "weights turned": lambda x, w, dy, dilation: (
        _dilated_wide(x, w, dy, dilation)[0],
        _dilated_wide(x, w, dy, dilation)[1][:, :, ::-1, ::-1],
    ),
    "a mean over images": lambda x, w, dy, dilation: (
        _dilated_wide(x, w, dy, dilation)[0],
        _dilated_wide(x, w, dy, dilation)[1] / len(x),
    ),
    "holes in the outputs": lambda x, w, dy, dilation: (
        _dilated_wide(x, w, dy, dilation)[0] * (np.arange(x.shape[3]) % dilation == 0),
        _dilated_wide(x, w, dy, dilation)[1],
    ),
    "one of the two": lambda x, w, dy, dilation: _dilated_wide(x, w, dy, dilation)[0],
    "nothing": lambda x, w, dy, dilation: None,
}
