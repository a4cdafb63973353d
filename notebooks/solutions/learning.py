"""Solutions of the exercises of notebook 4: one of many ways each."""

import numpy as np


def momentum(w, g, v, rate, mu):
    """Add the gradient to what is left of the velocity, and walk along it."""
    v = mu * v + g
    return w - rate * v, v


def adamw(w, g, m, s, t, rate, betas, eps, decay):
    """Shrink the weights, and walk along the mean gradient, in units of its usual size."""
    m = betas[0] * m + (1 - betas[0]) * g
    s = betas[1] * s + (1 - betas[1]) * g**2
    step = m / (1 - betas[0] ** t) / (np.sqrt(s / (1 - betas[1] ** t)) + eps)
    return (1 - rate * decay) * w - rate * step, m, s


def order(seed, epoch, count):
    """Begin a generator with both numbers: it mixes them, so that (0, 1) and (1, 0) have nothing in common."""
    return np.random.default_rng([seed, epoch]).permutation(count)
