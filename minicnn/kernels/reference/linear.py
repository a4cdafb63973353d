"""The fully connected layer and its three gradients."""

from __future__ import annotations

import numpy as np

__all__ = ["linear", "linear_bias_grad", "linear_input_grad", "linear_weight_grad"]


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Fully connected layer: y[n, o] = bias[o] + sum_i weight[o, i] x[n, i].

    Parameters
    ----------
    x : array of shape (N, in)
    weight : array of shape (out, in)
    bias : array of shape (out,), or None

    Returns
    -------
    y : array of shape (N, out)

    See Also
    --------
    linear_input_grad, linear_weight_grad, linear_bias_grad : its gradients
    torch.nn.functional.linear : the same in PyTorch

    Examples
    --------
    >>> weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> linear(np.array([[1.0, 10.0]]), weight, np.array([0.5, 0.5, 0.5])).tolist()
    [[21.5, 43.5, 65.5]]

    """
    y = x @ weight.T
    return y if bias is None else y + bias


def linear_input_grad(dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient with respect to the input: dx[n, i] = sum_o weight[o, i] dy[n, o], of shape (N, in).

    Examples
    --------
    >>> linear_input_grad(np.array([[1.0, 0.0, 1.0]]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).tolist()
    [[6.0, 8.0]]

    """
    # (N, out) by (out, in)
    return dy @ weight


def linear_weight_grad(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Gradient with respect to the weight: dweight[o, i] = sum_n dy[n, o] x[n, i], of shape (out, in).

    Examples
    --------
    >>> linear_weight_grad(np.array([[1.0, 10.0]]), np.array([[1.0, 0.0, 2.0]])).tolist()
    [[1.0, 10.0], [0.0, 0.0], [2.0, 20.0]]

    """
    # (out, N) by (N, in): the sum over the batch is in the product
    return dy.T @ x


def linear_bias_grad(dy: np.ndarray) -> np.ndarray:
    """Gradient with respect to the bias: dbias[o] = sum_n dy[n, o], of shape (out,).

    Examples
    --------
    >>> linear_bias_grad(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [4.0, 6.0]

    """
    return dy.sum(axis=0)
