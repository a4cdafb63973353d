"""The fully connected layer and its three gradients."""

__all__ = ["linear", "linear_bias_grad", "linear_input_grad", "linear_weight_grad"]


def linear(x, weight, bias=None):
    """Fully connected layer: y[n, o] = bias[o] + sum_i weight[o, i] x[n, i].

    Parameters
    ----------
    x : array of shape (N, in)
    weight : array of shape (out, in)
    bias : array of shape (out,), or None

    Returns
    -------
    y : array of shape (N, out)

    """
    y = x @ weight.T
    return y if bias is None else y + bias


def linear_input_grad(dy, weight):
    """Gradient with respect to the input: dx[n, i] = sum_o weight[o, i] dy[n, o], of shape (N, in)."""
    return dy @ weight


def linear_weight_grad(x, dy):
    """Gradient with respect to the weight: dweight[o, i] = sum_n dy[n, o] x[n, i], of shape (out, in)."""
    return dy.T @ x


def linear_bias_grad(dy):
    """Gradient with respect to the bias: dbias[o] = sum_n dy[n, o]."""
    return dy.sum(axis=0)
