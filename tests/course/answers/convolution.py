"""Answers to the exercises of notebook 1, right ones in three ways and wrong ones as readers write them."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _pad(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def _strided_windows(x, w, stride, padding):
    windows = sliding_window_view(_pad(x, padding), w.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("ncpqrs,kcrs->nkpq", windows, w)


def _strided_loops(x, w, stride, padding):
    x, (R, S) = _pad(x, padding), w.shape[2:]
    P, Q = (x.shape[2] - R) // stride + 1, (x.shape[3] - S) // stride + 1
    y = np.zeros((len(x), len(w), P, Q))
    for p in range(P):
        for q in range(Q):
            window = x[:, None, :, p * stride : p * stride + R, q * stride : q * stride + S]
            y[:, :, p, q] = (window * w).sum(axis=(2, 3, 4))
    return y


def _strided_thinned(x, w, stride, padding):
    return _strided_windows(x, w, 1, padding)[:, :, ::stride, ::stride]


STRIDED_RIGHT = [_strided_windows, _strided_loops, _strided_thinned]
STRIDED_WRONG = {
    "no stride": lambda x, w, stride, padding: _strided_windows(x, w, 1, padding),
    "no padding": lambda x, w, stride, padding: _strided_windows(x, w, stride, 0),
    "stride along rows alone": lambda x, w, stride, padding: _strided_windows(x, w, 1, padding)[:, :, ::stride],
    "turned filter": lambda x, w, stride, padding: _strided_windows(x, w[:, :, ::-1, ::-1], stride, padding),
    "padding twice": lambda x, w, stride, padding: _strided_windows(x, w, stride, 2 * padding),
    "padding repeats the border": lambda x, w, stride, padding: _strided_windows(
        np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), mode="edge"), w, stride, 0
    ),
    "one output too few": lambda x, w, stride, padding: _strided_windows(x, w, stride, padding)[:, :, :-1],
    "integers": lambda x, w, stride, padding: _strided_windows(x, w, stride, padding).astype(int),
    "stops": lambda x, w, stride, padding: x[99],
    "nothing": lambda x, w, stride, padding: None,
}


def _grouped_blocks(x, w, groups):
    filters, channels = len(w) // groups, w.shape[1]
    parts = [
        _strided_windows(x[:, g * channels : (g + 1) * channels], w[g * filters : (g + 1) * filters], 1, 0)
        for g in range(groups)
    ]
    return np.concatenate(parts, axis=1)


def _grouped_dense(x, w, groups):
    # one filter bank over all channels, 0 where a filter doesn't look
    dense = np.zeros((len(w), x.shape[1], *w.shape[2:]))
    for k in range(len(w)):
        g = k // (len(w) // groups)
        dense[k, g * w.shape[1] : (g + 1) * w.shape[1]] = w[k]
    return _strided_windows(x, dense, 1, 0)


def _grouped_by_filter(x, w, groups):
    y = []
    for k, filter_ in enumerate(w):
        first = k // (len(w) // groups) * w.shape[1]
        y.append(_strided_windows(x[:, first : first + w.shape[1]], filter_[None], 1, 0))
    return np.concatenate(y, axis=1)


def _interleaved(x, w, groups):
    parts = [_strided_windows(x[:, g::groups], w[g::groups], 1, 0) for g in range(groups)]
    return np.stack(parts, axis=2).reshape(len(x), len(w), *parts[0].shape[2:])


def _first_group_for_all(x, w, groups):
    return _strided_windows(x[:, : w.shape[1]], w, 1, 0)


GROUPED_RIGHT = [_grouped_blocks, _grouped_dense, _grouped_by_filter]
GROUPED_WRONG = {
    "channels interleaved": _interleaved,
    "all see the first channels": _first_group_for_all,
    "groups in reverse": lambda x, w, groups: _grouped_blocks(x[:, ::-1], w, groups),
    "outputs of groups interleaved": lambda x, w, groups: (
        _grouped_blocks(x, w, groups)
        .reshape(len(x), groups, -1, x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1)
        .swapaxes(1, 2)
        .reshape(len(x), len(w), x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1)
    ),
    "one filter a channel": lambda x, w, groups: _grouped_blocks(x, w[: x.shape[1]], min(groups, x.shape[1])),
    "weights changed": lambda x, w, groups: (w.__imul__(2), _grouped_blocks(x, w / 2, groups))[1],
}


def _five_taps(points, scale=1.0):
    n = 6
    V = np.vander([*points, 0.0], n, increasing=True)
    V[-1] = np.eye(n)[-1]
    A, G = V[:, :2].copy(), V[:, :5].copy()
    A[-1], G[-1] = np.eye(2)[-1], np.eye(5)[-1]
    return A.T, G * scale, np.linalg.inv(V).T / scale


def _plain():
    # no points at all: ten products in one dimension, two outputs of five taps each
    A = np.kron(np.eye(2), np.ones(5))
    G = np.tile(np.eye(5), (2, 1))
    B = np.concatenate([np.eye(6)[:5], np.eye(6)[1:]])
    return A, G, B


FIVE_TAPS_RIGHT = [
    lambda: _five_taps([0.0, 1.0, -1.0, 2.0, -2.0]),
    lambda: _five_taps([0.0, 1.0, -1.0, 0.5, -0.5], scale=2.0),
    lambda: _five_taps([1.0, -1.0, 3.0, -2.0, 0.25]),
]
FIVE_TAPS_WRONG = {
    "the plain sum in disguise": _plain,
    "B not transposed": lambda: (lambda A, G, B: (A, G, B.T))(*_five_taps([0.0, 1.0, -1.0, 2.0, -2.0])),
    "no row for infinity": lambda: (lambda A, G, B: (A, np.vstack([G[:5], 0 * G[5:]]), B))(
        *_five_taps([0.0, 1.0, -1.0, 2.0, -2.0])
    ),
    "a sign": lambda: (lambda A, G, B: (A, np.abs(G), B))(*_five_taps([0.0, 1.0, -1.0, 2.0, -2.0])),
    "three taps": lambda: (np.ones((2, 4)), np.ones((4, 3)), np.ones((4, 4))),
    "nothing": lambda: (None, None, None),
}
