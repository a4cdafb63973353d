"""From scores to probabilities and to the loss: softmax, log-softmax, cross-entropy."""

import numpy as np

__all__ = [
    "cross_entropy",
    "cross_entropy_input_grad",
    "log_softmax",
    "log_softmax_input_grad",
    "softmax",
    "softmax_input_grad",
]


def softmax(x):
    """Probabilities y[n, c] = exp(x[n, c]) / sum_j exp(x[n, j]), along axis 1, for x of shape (N, C, ...)."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_input_grad(dy, y):
    """Gradient with respect to the scores, from the probabilities y: dx = y (dy - sum_j dy_j y_j)."""
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


def log_softmax(x):
    """Logarithms of the softmax, without overflow: y[n, c] = x[n, c] - log sum_j exp(x[n, j])."""
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def log_softmax_input_grad(dy, y):
    """Gradient with respect to the scores, from the logarithms y: dx = dy - exp(y) sum_j dy_j."""
    return dy - np.exp(y) * dy.sum(axis=1, keepdims=True)


def cross_entropy(scores, labels):
    """Mean over the batch of -log softmax(scores)[label].

    Parameters
    ----------
    scores : array of shape (N, K)
    labels : int array of shape (N,), values 0 .. K - 1

    Returns
    -------
    loss : scalar of the scores' dtype

    """
    return -log_softmax(scores)[np.arange(len(labels)), labels].mean()


def cross_entropy_input_grad(scores, labels):
    """Gradient of the mean cross-entropy with respect to the scores: (softmax - one_hot) / N, of shape (N, K)."""
    dx = softmax(scores)
    dx[np.arange(len(labels)), labels] -= 1
    return dx / scores.dtype.type(len(labels))
