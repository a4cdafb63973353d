"""Answers to the exercises of notebook 3, right ones in three ways and wrong ones as readers write them."""

import numpy as np


def _leaky_where(a):
    return lambda x: np.where(x > 0, x, a * x), lambda dy, x: np.where(x > 0, dy, a * dy)


def _leaky_sum(a):
    return (
        lambda x: np.maximum(x, 0) + a * np.minimum(x, 0),
        lambda dy, x: dy * ((x > 0) + a * (x <= 0)),
    )


def _leaky_in_place(a):
    def forward(x):
        y = x.copy()
        y[x <= 0] *= a
        return y

    def backward(dy, x):
        dx = dy.copy()
        dx[x <= 0] *= a
        return dx

    return forward, backward


def _changes_its_input(a):
    def forward(x):
        x[x <= 0] *= a
        return x

    return forward, _leaky_where(a)[1]


LEAKY_RIGHT = [_leaky_where, _leaky_sum, _leaky_in_place]
LEAKY_WRONG = {
    "a rectifier without a leak, backwards": lambda a: (_leaky_where(a)[0], lambda dy, x: dy * (x > 0)),
    "the mask of dy, as a deconvnet": lambda a: (_leaky_where(a)[0], lambda dy, x: np.where(dy > 0, dy, a * dy)),
    "the leak above": lambda a: (lambda x: np.where(x > 0, a * x, x), lambda dy, x: np.where(x > 0, a * dy, dy)),
    "dy forgotten": lambda a: (_leaky_where(a)[0], lambda dy, x: np.where(x > 0, 1.0, a)),
    "x for dy": lambda a: (_leaky_where(a)[0], lambda dy, x: np.where(x > 0, x, a * x)),
    "a sign": lambda a: (lambda x: np.where(x > 0, x, -a * x), lambda dy, x: np.where(x > 0, dy, -a * dy)),
    "its own input changed": _changes_its_input,
    "nothing": lambda a: (None, None),
}


def _probabilities(scores):
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _log_probabilities(scores):
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _targets(scores, classes, s):
    K = scores.shape[1]
    return (1 - s) * np.eye(K)[classes] + s / K


def _smoothed_matrix(scores, classes, s):
    t, log_p = _targets(scores, classes, s), _log_probabilities(scores)
    return -(t * log_p).sum(axis=1).mean(), (np.exp(log_p) - t) / len(scores)


def _smoothed_mixture(scores, classes, s):
    # the loss is a mixture of the plain one and of the mean over all classes
    log_p = _log_probabilities(scores)
    rows = np.arange(len(scores))
    loss = (1 - s) * -log_p[rows, classes].mean() + s * -log_p.mean()
    gradient = _probabilities(scores) - s / scores.shape[1]
    gradient[rows, classes] -= 1 - s
    return loss, gradient / len(scores)


def _smoothed_one_by_one(scores, classes, s):
    loss, gradients = 0.0, []
    for row, c in zip(scores, classes, strict=True):
        log_p = _log_probabilities(row[None])[0]
        t = _targets(row[None], [c], s)[0]
        loss -= t @ log_p
        gradients.append(np.exp(log_p) * t.sum() - t)
    return loss / len(scores), np.array(gradients) / len(scores)


def _naive(scores, classes, s):
    with np.errstate(all="ignore"):
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        t = _targets(scores, classes, s)
        return -(t * np.log(p)).sum(axis=1).mean(), (p - t) / len(scores)


def _among_the_others(scores, classes, s):
    # the smoothing is spread over the wrong classes alone
    K = scores.shape[1]
    t = np.where(np.eye(K)[classes] > 0, 1 - s, s / (K - 1))
    log_p = _log_probabilities(scores)
    return -(t * log_p).sum(axis=1).mean(), (np.exp(log_p) - t) / len(scores)


SMOOTHED_RIGHT = [_smoothed_matrix, _smoothed_mixture, _smoothed_one_by_one]
SMOOTHED_WRONG = {
    "exponentials that overflow": _naive,
    "spread over the wrong classes": _among_the_others,
    "a sum over images": lambda scores, classes, s: (
        _smoothed_matrix(scores, classes, s)[0],
        len(scores) * _smoothed_matrix(scores, classes, s)[1],
    ),
    "no smoothing": lambda scores, classes, s: _smoothed_matrix(scores, classes, 0.0),
    "smoothing in the loss alone": lambda scores, classes, s: (
        _smoothed_matrix(scores, classes, s)[0],
        _smoothed_matrix(scores, classes, 0.0)[1],
    ),
    "a sign": lambda scores, classes, s: (
        _smoothed_matrix(scores, classes, s)[0],
        -_smoothed_matrix(scores, classes, s)[1],
    ),
    "softmax over the images": lambda scores, classes, s: (
        _smoothed_matrix(scores, classes, s)[0],
        (_probabilities(scores.T).T - _targets(scores, classes, s)) / len(scores),
    ),
    "the loss alone": lambda scores, classes, s: (_smoothed_matrix(scores, classes, s)[0],),
}

AXES = (0, 2, 3)


def _standardise(x, eps):
    deviation = np.sqrt(x.var(axis=AXES, keepdims=True) + eps)
    return (x - x.mean(axis=AXES, keepdims=True)) / deviation, deviation


def _sums(dy, x_hat):
    return (dy * x_hat).sum(axis=AXES), dy.sum(axis=AXES)


def _norm_means(dy, x, gamma, eps):
    x_hat, deviation = _standardise(x, eps)
    dgamma, dbeta = _sums(dy, x_hat)
    M = x.size / x.shape[1]
    scale = gamma[:, None, None] / deviation
    return scale * (dy - dbeta[:, None, None] / M - x_hat * dgamma[:, None, None] / M), dgamma, dbeta


def _norm_paths(dy, x, gamma, eps):
    # mean and variance as nodes of their own
    M = x.size / x.shape[1]
    mean, var = x.mean(axis=AXES, keepdims=True), x.var(axis=AXES, keepdims=True)
    d_hat = dy * gamma[:, None, None]
    dvar = (d_hat * (x - mean) * -0.5 * (var + eps) ** -1.5).sum(axis=AXES, keepdims=True)
    dmean = (-d_hat / np.sqrt(var + eps)).sum(axis=AXES, keepdims=True)
    dx = d_hat / np.sqrt(var + eps) + dvar * 2 * (x - mean) / M + dmean / M
    return dx, *_sums(dy, (x - mean) / np.sqrt(var + eps))


def _norm_jacobian(dy, x, gamma, eps):
    # a channel at a time, with the whole matrix of derivatives
    dx, (x_hat, _) = np.empty_like(x), _standardise(x, eps)
    for c in range(x.shape[1]):
        values = x[:, c].ravel()
        M, centred = len(values), values - values.mean()
        deviation = np.sqrt(values.var() + eps)
        J = (np.eye(M) - 1 / M) / deviation - np.outer(centred, centred) / (M * deviation**3)
        dx[:, c] = gamma[c] * (J.T @ dy[:, c].ravel()).reshape(dx[:, c].shape)
    return dx, *_sums(dy, x_hat)


def _constant_statistics(dy, x, gamma, eps):
    x_hat, deviation = _standardise(x, eps)
    return dy * gamma[:, None, None] / deviation, *_sums(dy, x_hat)


def _constant_variance(dy, x, gamma, eps):
    x_hat, deviation = _standardise(x, eps)
    d = dy * gamma[:, None, None]
    return (d - d.mean(axis=AXES, keepdims=True)) / deviation, *_sums(dy, x_hat)


def _statistics_of_each_image(dy, x, gamma, eps):
    parts = [_norm_means(dy[n : n + 1], x[n : n + 1], gamma, eps) for n in range(len(x))]
    return np.concatenate([dx for dx, _, _ in parts]), *_norm_means(dy, x, gamma, eps)[1:]


BATCH_NORM_RIGHT = [_norm_means, _norm_paths, _norm_jacobian]
BATCH_NORM_WRONG = {
    "mean and variance are constants": _constant_statistics,
    "the variance is a constant": _constant_variance,
    "each image by itself": _statistics_of_each_image,
    "eps forgotten": lambda dy, x, gamma, eps: _norm_means(dy, x, gamma, 0.0),
    "gamma forgotten": lambda dy, x, gamma, eps: _norm_means(dy, x, np.ones_like(gamma), eps),
    "dgamma of x, not of what was normalised": lambda dy, x, gamma, eps: (
        _norm_means(dy, x, gamma, eps)[0],
        (dy * x).sum(axis=AXES),
        dy.sum(axis=AXES),
    ),
    "the unbiased variance": lambda dy, x, gamma, eps: (
        _norm_means(dy, x, gamma, eps)[0] * np.sqrt(1 - x.shape[1] / x.size),
        *_norm_means(dy, x, gamma, eps)[1:],
    ),
    "means of dy, not sums": lambda dy, x, gamma, eps: (
        _norm_means(dy, x, gamma, eps)[0],
        _norm_means(dy, x, gamma, eps)[1] / (x.size / x.shape[1]),
        dy.mean(axis=AXES),
    ),
}
