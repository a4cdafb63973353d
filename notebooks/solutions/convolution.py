"""Solutions of the exercises of notebook 1: one of many ways each."""

import numpy as np


def strided(x, w, stride, padding):
    """Loop over taps; the pixels under each are every stride-th one."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    R, S = w.shape[2:]
    P, Q = (x.shape[2] - R) // stride + 1, (x.shape[3] - S) // stride + 1
    y = np.zeros((len(x), len(w), P, Q))
    for r in range(R):
        for s in range(S):
            under = x[:, :, r : r + stride * (P - 1) + 1 : stride, s : s + stride * (Q - 1) + 1 : stride]
            y += np.einsum("kc,ncpq->nkpq", w[:, :, r, s], under)
    return y


def grouped(x, w, groups):
    """Count filters and channels within their group: groups are one more letter."""
    N, C, H, W = x.shape
    K, _, R, S = w.shape
    windows = np.lib.stride_tricks.sliding_window_view(
        x.reshape(N, groups, C // groups, H, W), (R, S), axis=(3, 4)
    )
    y = np.einsum("gkcrs,ngcpqrs->ngkpq", w.reshape(groups, K // groups, C // groups, R, S), windows)
    return y.reshape(N, K, H - R + 1, W - S + 1)


def five_taps():
    """Take six points with infinity, as 2 outputs of 5 taps read 6 numbers: 36 multiplications for 4 outputs."""
    n, points = 6, [0.0, 1.0, -1.0, 2.0, -2.0]
    V = np.vander([*points, 0.0], n, increasing=True)
    V[-1] = np.eye(n)[-1]
    A, G = V[:, :2].copy(), V[:, :5].copy()
    A[-1], G[-1] = np.eye(2)[-1], np.eye(5)[-1]
    return A.T, G, np.linalg.inv(V).T
