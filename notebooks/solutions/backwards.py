"""Solutions of the exercises of notebook 2: one of many ways each."""

import numpy as np


def pool_gradient(dy, size, stride, input_size):
    """Give each place in a window its share, for all windows at once, one place after the other."""
    N, C, P, Q = dy.shape
    dx = np.zeros((N, C, *input_size))
    for r in range(size):
        for s in range(size):
            rows, columns = (slice(i, i + stride * (n - 1) + 1, stride) for i, n in ((r, P), (s, Q)))
            dx[:, :, rows, columns] += dy / size**2
    return dx


def padded_gradient(dy, w, input_size, stride, padding):
    """Take the gradient of the image with its padding, and cut the padding off: nobody asks for that part."""
    N, _, P, Q = dy.shape
    _, C, R, S = w.shape
    H, W = input_size
    dx = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    for r in range(R):
        for s in range(S):
            rows, columns = (slice(i, i + stride * (n - 1) + 1, stride) for i, n in ((r, P), (s, Q)))
            dx[:, :, rows, columns] += np.einsum("nkpq,kc->ncpq", dy, w[:, :, r, s])
    return dx[:, :, padding : padding + H, padding : padding + W]


def dilated_gradients(x, w, dy, dilation):
    """Follow each tap: (r, s) reads the pixels that begin at (d r, d s), so they get w dy and give x dy."""
    P, Q = dy.shape[2:]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for r in range(w.shape[2]):
        for s in range(w.shape[3]):
            under = np.s_[:, :, dilation * r : dilation * r + P, dilation * s : dilation * s + Q]
            dx[under] += np.einsum("nkpq,kc->ncpq", dy, w[:, :, r, s])
            dw[:, :, r, s] = np.einsum("nkpq,ncpq->kc", dy, x[under])
    return dx, dw
