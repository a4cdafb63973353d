"""Tests of the exercises of notebook 3."""

import numpy as np

from exercises.trying import judge, judge_parts
from minicnn import verify
from minicnn.kernels import reference


def check_leaky(answer):
    """Try the pair of ``answer(a)``: values, and derivatives away from the corner."""
    rng = np.random.default_rng(0)
    for a in (0.01, 0.3):
        forward, backward = answer(a)
        if forward is None or backward is None:
            print("Not written yet: there are no functions.")
            return False
        x = rng.standard_normal((2, 3, 5))
        dy = rng.standard_normal(x.shape)

        def say(*arrays, a=a):
            return f"a = {a} and an array of shape {arrays[0].shape}"

        right = judge(forward, [(x,), (x[0],)], lambda x, a=a: np.where(x > 0, x, a * x), say)
        if not right or not judge(backward, [(dy, x)], lambda dy, x, a=a: np.where(x > 0, dy, a * dy), say):
            return False
        if not verify.gradients((forward, backward), x).ok:
            print("Measured slopes say that forward and backward do not belong together.")
            return False
    return True


def check_smoothed(answer):
    """Try ``answer(scores, classes, s)``: the loss, then its gradient, with large scores among them."""
    rng = np.random.default_rng(1)
    cases = []
    for n, k, scale, s in ((1, 3, 1.0, 0.0), (4, 3, 1.0, 0.1), (5, 10, 1.0, 0.3), (3, 4, 1000.0, 0.2)):
        cases.append((scale * rng.standard_normal((n, k)), rng.integers(0, k, n), s))

    def targets(scores, classes, s):
        k = scores.shape[1]
        return (1 - s) * np.eye(k)[classes] + s / k

    def log_probabilities(scores):
        shifted = scores - scores.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def loss(scores, classes, s):
        return -(targets(scores, classes, s) * log_probabilities(scores)).sum() / len(scores)

    def gradient(scores, classes, s):
        return (np.exp(log_probabilities(scores)) - targets(scores, classes, s)) / len(scores)

    def say(scores, classes, s):
        return (
            f"{len(scores)} images, {scores.shape[1]} classes, s = {s} and scores up to {np.abs(scores).max():.0f}"
        )

    return judge_parts(answer, cases, {"the loss": loss, "its gradient": gradient}, say)


def check_batch_norm(answer):
    """Try ``answer(dy, x, gamma, eps)``: each of its three gradients, with one image and with several."""
    rng = np.random.default_rng(2)
    cases = []
    for shape, eps in (((1, 2, 3, 4), 1e-5), ((4, 3, 2, 5), 0.1), ((6, 1, 1, 1), 1e-3)):
        x, gamma = 3 + 2 * rng.standard_normal(shape), rng.standard_normal(shape[1])
        cases.append((rng.standard_normal(shape), x, gamma, eps))

    def dgamma(dy, x, gamma, eps):
        _, mean, var = reference.batch_norm2d_training(x, gamma, eps=eps)
        return reference.batch_norm2d_training_weight_grad(x, dy, mean, var, eps=eps)

    def dbeta(dy, x, gamma, eps):
        return dy.sum(axis=(0, 2, 3))

    def dx(dy, x, gamma, eps):
        _, mean, var = reference.batch_norm2d_training(x, gamma, eps=eps)
        sums = dgamma(dy, x, gamma, eps), dbeta(dy, x, gamma, eps)
        return reference.batch_norm2d_training_input_grad(x, dy, mean, var, gamma, *sums, eps=eps)

    def say(dy, x, gamma, eps):
        return f"x {x.shape} and eps {eps}"

    return judge_parts(answer, cases, {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}, say)
