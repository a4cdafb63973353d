"""From scores to probabilities and to the loss: softmax, log-softmax, cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "cross_entropy",
    "cross_entropy_input_grad",
    "log_softmax",
    "log_softmax_input_grad",
    "softmax",
    "softmax_input_grad",
]


def softmax(x: np.ndarray) -> np.ndarray:
    """Probabilities y[n, c] = exp(x[n, c]) / sum_j exp(x[n, j]), along axis 1.

    Parameters
    ----------
    x : array of shape (N, C, ...)

    Returns
    -------
    y : array of that shape, in [0, 1], of sum 1 along axis 1

    See Also
    --------
    softmax_input_grad : its gradient
    log_softmax : its logarithm, without overflow
    torch.nn.functional.softmax : the same in PyTorch, with dim=1

    Examples
    --------
    >>> softmax(np.log([[1.0, 3.0, 4.0]])).round(4).tolist()
    [[0.125, 0.375, 0.5]]

    """
    e = np.exp(x - x.max(axis=1, keepdims=True))  # shifted by the maximum, so that nothing overflows
    return e / e.sum(axis=1, keepdims=True)


def softmax_input_grad(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient with respect to the scores, from the probabilities y: dx = y (dy - sum_j dy_j y_j).

    Examples
    --------
    >>> softmax_input_grad(np.array([[1.0, 0.0]]), np.array([[0.25, 0.75]])).tolist()
    [[0.1875, -0.1875]]

    """
    # dy_i/dx_j = y_i ([i = j] - y_j), so no C x C Jacobian is formed
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Logarithms of the softmax, without overflow: y[n, c] = x[n, c] - log sum_j exp(x[n, j]).

    Parameters
    ----------
    x : array of shape (N, C, ...)

    Returns
    -------
    y : array of that shape, at most 0

    See Also
    --------
    log_softmax_input_grad : its gradient
    torch.nn.functional.log_softmax : the same in PyTorch, with dim=1

    Examples
    --------
    >>> log_softmax(np.array([[1000.0, 1000.0]])).round(4).tolist()
    [[-0.6931, -0.6931]]

    """
    # the same shift for numerator and sum changes nothing but the range: exp stays at most 1
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def log_softmax_input_grad(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient with respect to the scores, from the logarithms y: dx = dy - exp(y) sum_j dy_j.

    Examples
    --------
    >>> log_softmax_input_grad(np.array([[1.0, 0.0]]), np.log([[0.25, 0.75]])).round(4).tolist()
    [[0.75, -0.75]]

    """
    return dy - np.exp(y) * dy.sum(axis=1, keepdims=True)


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> np.floating[Any]:
    """Mean over the batch of -log softmax(scores)[label].

    Parameters
    ----------
    scores : array of shape (N, K)
    labels : int array of shape (N,), values 0 .. K - 1

    Returns
    -------
    loss : scalar of the scores' dtype

    See Also
    --------
    cross_entropy_input_grad : its gradient
    torch.nn.functional.cross_entropy : the same in PyTorch

    Examples
    --------
    >>> float(cross_entropy(np.log([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 0])).round(4))
    0.4904

    """
    # row n, column labels[n]; the logarithm of a softmax that underflows would be -inf
    return -log_softmax(scores)[np.arange(len(labels)), labels].mean()


def cross_entropy_input_grad(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Gradient of the mean cross-entropy with respect to the scores: (softmax - one_hot) / N, of shape (N, K).

    Examples
    --------
    >>> cross_entropy_input_grad(np.log([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 0])).round(4).tolist()
    [[0.125, -0.125], [-0.25, 0.25]]

    """
    dx = softmax(scores)
    # minus the one-hot labels, without building them
    dx[np.arange(len(labels)), labels] -= 1
    return dx / scores.dtype.type(len(labels))
