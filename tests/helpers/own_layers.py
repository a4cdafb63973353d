"""Layers of one's own: forty right ones and forty wrong ones, of five kinds.

Each is a formula: y = function(x, *weights), and (dx, *dweights) = gradient(dy, x, *weights).
"""

import numpy as np

from minicnn.layers import Layer
from minicnn.layers.joins import Join
from minicnn.rules import GRADIENT


class Formula(Layer):
    """A layer of one input, or as many as ``JoinFormula`` gets."""

    def __init__(self, name, function, gradient, weights=None, shape=lambda shape: shape):
        self.name, self.function, self.gradient, self.shape = name, function, gradient, shape
        self.weights = dict(weights or {})

    def parameter_shapes(self):
        return {name: array.shape for name, array in self.weights.items()}

    def state(self):
        return dict(self.weights)

    def with_state(self, state):
        return type(self)(self.name, self.function, self.gradient, self.weights | dict(state), self.shape)

    def output_shape(self, shape):
        return self.shape(shape)

    def forward(self, x, kernels, keep=None, rng=None):
        parts = x if isinstance(x, tuple) else (x,)
        return self.function(*parts, *self.weights.values()), parts

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        given = self.gradient(dy, *saved, *self.weights.values())
        given = given if isinstance(given, tuple) else (given,)
        dx, rest = given[: len(saved)], given[len(saved) :]
        return dx if len(saved) > 1 else dx[0], dict(zip(self.weights, rest, strict=True)) if weights else {}

    def __repr__(self):
        return self.name


class JoinFormula(Formula, Join):
    """One of several inputs."""


def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def standardise(x):
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 0.1)


def standardise_gradient(dy, x):
    y, deviation = standardise(x), np.sqrt(x.var(axis=1, keepdims=True) + 0.1)
    return (dy - dy.mean(axis=1, keepdims=True) - y * (dy * y).mean(axis=1, keepdims=True)) / deviation


def spread(d, x, axis):
    """A sum's cotangent over what was summed."""
    return np.broadcast_to(np.expand_dims(d, axis), x.shape).copy()


def at_largest(dy, x, axis):
    dx = np.zeros_like(x)
    np.put_along_axis(dx, np.expand_dims(x.argmax(axis), axis), np.expand_dims(dy, axis), axis)
    return dx


def pool_pairs(x):
    return x.reshape(*x.shape[:-1], -1, 2).max(-1)


def pool_pairs_gradient(dy, x):
    return at_largest(dy, x.reshape(*x.shape[:-1], -1, 2), -1).reshape(x.shape)


def convolve(x, w):
    return sum(w[k] * x[..., k : x.shape[-1] - 2 + k] for k in range(3))


def convolve_gradient(dy, x, w):
    dx = np.zeros_like(x)
    for k in range(3):
        dx[..., k : x.shape[-1] - 2 + k] += w[k] * dy
    return dx, np.array([(dy * x[..., k : x.shape[-1] - 2 + k]).sum() for k in range(3)])


def channel(w):
    """A weight of each channel against (N, C, H, W)."""
    return w[:, None, None]


def over_pixels(d):
    return d.sum(axis=(0, 2, 3))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


SMOOTH = {  # name: function, its gradient
    "Sigmoid": (sigmoid, lambda dy, x: dy * sigmoid(x) * (1 - sigmoid(x))),
    "Swish": (lambda x: x * sigmoid(x), lambda dy, x: dy * sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "Softplus": (lambda x: np.logaddexp(0, x), lambda dy, x: dy * sigmoid(x)),
    "Sine": (np.sin, lambda dy, x: dy * np.cos(x)),
    "Gaussian": (lambda x: np.exp(-x * x), lambda dy, x: -2 * x * np.exp(-x * x) * dy),
    "Arctan": (np.arctan, lambda dy, x: dy / (1 + x * x)),
    "Cube": (lambda x: x**3, lambda dy, x: 3 * x * x * dy),
    "Snake": (lambda x: x + np.sin(x) ** 2, lambda dy, x: dy * (1 + np.sin(2 * x))),
}
KINKED = {
    "Abs": (np.abs, lambda dy, x: dy * np.sign(x)),
    "Leaky": (lambda x: np.where(x > 0, x, 0.1 * x), lambda dy, x: np.where(x > 0, dy, 0.1 * dy)),
    "Clip": (lambda x: np.clip(x, -0.5, 1), lambda dy, x: dy * ((x > -0.5) & (x < 1))),
    "Shrink": (lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.3, 0), lambda dy, x: dy * (np.abs(x) > 0.3)),
    "Hardswish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda dy, x: dy * np.where(x > 3, 1, np.where(x < -3, 0, (2 * x + 3) / 6)),
    ),
    "Elu": (
        lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0))),
        lambda dy, x: dy * np.where(x > 0, 1, 0.5 * np.exp(np.minimum(x, 0))),
    ),
    "Huber": (
        lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5),
        lambda dy, x: dy * np.clip(x, -1, 1),
    ),
    "Threshold": (lambda x: np.where(x > 0.5, x, 0.0), lambda dy, x: dy * (x > 0.5)),
}
REDUCED = {  # ... and the shape of the output
    "Mean of pixels": (
        lambda x: x.mean(axis=(2, 3)),
        lambda dy, x: spread(dy, x, (2, 3)) / x[0, 0].size,
        lambda s: s[:1],
    ),
    "Largest pixel": (
        lambda x: x.reshape(*x.shape[:2], -1).max(-1),
        lambda dy, x: at_largest(dy, x.reshape(*x.shape[:2], -1), -1).reshape(x.shape),
        lambda s: s[:1],
    ),
    "Pool of pairs": (pool_pairs, pool_pairs_gradient, lambda s: (*s[:-1], s[-1] // 2)),
    "Softmax": (
        softmax,
        lambda dy, x: softmax(x) * (dy - (dy * softmax(x)).sum(axis=1, keepdims=True)),
        lambda s: s,
    ),
    "Standardise": (standardise, standardise_gradient, lambda s: s),
    "Norm": (
        lambda x: np.sqrt((x * x).sum(axis=1)),
        lambda dy, x: spread(dy / np.sqrt((x * x).sum(axis=1)), x, 1) * x,
        lambda s: s[1:],
    ),
    "Log of the sum": (
        lambda x: np.log(np.exp(x).sum(axis=1)),
        lambda dy, x: spread(dy, x, 1) * softmax(x),
        lambda s: s[1:],
    ),
    "Running sum": (
        lambda x: x.cumsum(axis=-1),
        lambda dy, x: dy[..., ::-1].cumsum(axis=-1)[..., ::-1],
        lambda s: s,
    ),
}
WEIGHTED = {  # ... and the weights
    "Scale": (
        lambda x, w: channel(w) * x,
        lambda dy, x, w: (channel(w) * dy, over_pixels(dy * x)),
        {"weight": normal(3)},
    ),
    "Affine": (
        lambda x, w, b: channel(w) * x + channel(b),
        lambda dy, x, w, b: (channel(w) * dy, over_pixels(dy * x), over_pixels(dy)),
        {"weight": normal(3), "bias": normal(3, seed=1)},
    ),
    "Slopes": (
        lambda x, w: np.where(x > 0, x, channel(w) * x),
        lambda dy, x, w: (np.where(x > 0, dy, channel(w) * dy), over_pixels(np.where(x > 0, 0, dy * x))),
        {"weight": normal(3)},
    ),
    "Swish with a slope": (
        lambda x, b: x * sigmoid(b * x),
        lambda dy, x, b: (
            dy * sigmoid(b * x) * (1 + b * x * (1 - sigmoid(b * x))),
            np.array([(dy * x * x * sigmoid(b * x) * (1 - sigmoid(b * x))).sum()]),
        ),
        {"slope": np.array([1.3])},
    ),
    "Mix of channels": (
        lambda x, w: np.einsum("kc,nchw->nkhw", w, x),
        lambda dy, x, w: (np.einsum("kc,nkhw->nchw", w, dy), np.einsum("nkhw,nchw->kc", dy, x)),
        {"weight": normal(3, 3)},
    ),
    "Convolution of rows": (convolve, convolve_gradient, {"weight": normal(3)}),
    "Power": (
        lambda x, p: (x * x + 1) ** channel(p),
        lambda dy, x, p: (
            dy * channel(p) * (x * x + 1) ** (channel(p) - 1) * 2 * x,
            over_pixels(dy * np.log(x * x + 1) * (x * x + 1) ** channel(p)),
        ),
        {"exponent": normal(3)},
    ),
    "Soft threshold": (
        lambda x, t: np.sign(x) * np.maximum(np.abs(x) - channel(t), 0),
        lambda dy, x, t: (
            dy * (np.abs(x) > channel(t)),
            -over_pixels(dy * np.sign(x) * (np.abs(x) > channel(t))),
        ),
        {"threshold": np.array([0.2, 0.5, 0.1])},
    ),
}
JOINED = {
    "Product": (lambda a, b: a * b, lambda dy, a, b: (dy * b, dy * a)),
    "Quotient": (
        lambda a, b: a / (b * b + 1),
        lambda dy, a, b: (dy / (b * b + 1), -2 * b * a * dy / (b * b + 1) ** 2),
    ),
    "Larger": (np.maximum, lambda dy, a, b: (dy * (a >= b), dy * (a < b))),
    "Distance": (lambda a, b: np.abs(a - b), lambda dy, a, b: (dy * np.sign(a - b), -dy * np.sign(a - b))),
    "Gate": (
        lambda a, b: a * sigmoid(b),
        lambda dy, a, b: (dy * sigmoid(b), dy * a * sigmoid(b) * (1 - sigmoid(b))),
    ),
    "Length": (
        lambda a, b: np.sqrt(a * a + b * b + 0.1),
        lambda dy, a, b: (dy * a / np.sqrt(a * a + b * b + 0.1), dy * b / np.sqrt(a * a + b * b + 0.1)),
    ),
    "Mean": (lambda a, b: (a + b) / 2, lambda dy, a, b: (dy / 2, dy / 2)),
    "Softer": (np.logaddexp, lambda dy, a, b: (dy * sigmoid(a - b), dy * sigmoid(b - a))),
}

MAPS = normal(2, 3, 4, 6)


def build(kind, name, gradient=None, x=MAPS):
    """A layer by its kind and name, and an input; with another gradient in the place of the right one."""
    function, right, *more = kind[name]
    gradient = gradient or right
    if kind is JOINED:
        inputs = x, np.roll(x, 1, axis=-1) + 0.1 * np.abs(x).max()
        return JoinFormula(name, function, gradient, shape=lambda shapes: shapes[0]), inputs
    if kind is WEIGHTED:
        shape = (lambda s: (*s[:-1], s[-1] - 2)) if function is convolve else (lambda s: s)
        return Formula(name, function, gradient, more[0], shape), x
    return Formula(name, function, gradient, shape=more[0] if more else lambda s: s), x


KINDS = (SMOOTH, KINKED, REDUCED, WEIGHTED, JOINED)
RIGHT = {name: build(kind, name) for kind in KINDS for name in kind}

FAULTS = {  # name: what is wrong, and the gradient as somebody wrote it
    "Sigmoid": ("factor missing", lambda dy, x: dy * sigmoid(x)),
    "Swish": ("product rule forgotten", lambda dy, x: dy * sigmoid(x)),
    "Softplus": ("sign", lambda dy, x: dy * sigmoid(-x)),
    "Sine": ("sign", lambda dy, x: -dy * np.cos(x)),
    "Gaussian": ("factor missing", lambda dy, x: -x * np.exp(-x * x) * dy),
    "Arctan": ("square missing", lambda dy, x: dy / (1 + np.abs(x))),
    "Cube": ("exponent not lowered", lambda dy, x: 3 * x**3 * dy),
    "Snake": ("factor of the inner function", lambda dy, x: dy * (1 + np.cos(x) ** 2)),
    "Abs": ("sign lost", lambda dy, x: dy),
    "Leaky": ("slope of another layer", lambda dy, x: np.where(x > 0, dy, 0.01 * dy)),
    "Clip": ("one kink forgotten", lambda dy, x: dy * (x < 1)),
    "Shrink": ("mask at another kink", lambda dy, x: dy * (np.abs(x) > 0)),
    "Hardswish": ("mask off by one", lambda dy, x: dy * np.where(x > 2, 1, np.where(x < -3, 0, (2 * x + 3) / 6))),
    "Elu": ("alpha forgotten", lambda dy, x: dy * np.where(x > 0, 1, np.exp(np.minimum(x, 0)))),
    "Huber": ("not clipped", lambda dy, x: dy * x),
    "Threshold": ("mask at 0", lambda dy, x: dy * (x > 0)),
    "Mean of pixels": ("not divided", lambda dy, x: spread(dy, x, (2, 3))),
    "Largest pixel": (
        "the first, not the largest",
        lambda dy, x: spread(dy, x, (2, 3)) * (np.arange(x.shape[-1]) == 0),
    ),
    "Pool of pairs": ("to both of a pair", lambda dy, x: dy.repeat(2, axis=-1)),
    "Softmax": ("diagonal alone", lambda dy, x: dy * softmax(x) * (1 - softmax(x))),
    "Standardise": (
        "mean and deviation taken as constants",
        lambda dy, x: dy / np.sqrt(x.var(1, keepdims=True) + 0.1),
    ),
    "Norm": ("not divided by the norm", lambda dy, x: spread(dy, x, 1) * x),
    "Log of the sum": (
        "softmax along another axis",
        lambda dy, x: spread(dy, x, 1) * softmax(x.swapaxes(1, 2)).swapaxes(1, 2),
    ),
    "Running sum": ("not reversed", lambda dy, x: dy.cumsum(axis=-1)),
    "Scale": ("one image's weights", lambda dy, x, w: (channel(w) * dy, (dy * x)[0].sum(axis=(1, 2)))),
    "Affine": (
        "bias averaged",
        lambda dy, x, w, b: (channel(w) * dy, over_pixels(dy * x), dy.mean(axis=(0, 2, 3))),
    ),
    "Slopes": (
        "mask on the wrong side",
        lambda dy, x, w: (np.where(x > 0, dy, channel(w) * dy), over_pixels(np.where(x > 0, dy * x, 0))),
    ),
    "Swish with a slope": (
        "slope missing in dx",
        lambda dy, x, b: (
            dy * sigmoid(b * x) * (1 + x * (1 - sigmoid(b * x))),
            WEIGHTED["Swish with a slope"][1](dy, x, b)[1],
        ),
    ),
    "Mix of channels": (
        "not transposed",
        lambda dy, x, w: (np.einsum("ck,nkhw->nchw", w, dy), np.einsum("nkhw,nchw->kc", dy, x)),
    ),
    "Convolution of rows": (
        "overwritten, not added",
        lambda dy, x, w: (np.pad(w[2] * dy, [(0, 0)] * 3 + [(2, 0)]), convolve_gradient(dy, x, w)[1]),
    ),
    "Power": (
        "inner derivative forgotten",
        lambda dy, x, p: (
            dy * channel(p) * (x * x + 1) ** (channel(p) - 1),
            over_pixels(dy * np.log(x * x + 1) * (x * x + 1) ** channel(p)),
        ),
    ),
    "Soft threshold": (
        "sign of dt",
        lambda dy, x, t: (dy * (np.abs(x) > channel(t)), over_pixels(dy * (np.abs(x) > channel(t)))),
    ),
    "Product": ("swapped", lambda dy, a, b: (dy * a, dy * b)),
    "Quotient": ("sign", lambda dy, a, b: (dy / (b * b + 1), 2 * b * a * dy / (b * b + 1) ** 2)),
    "Larger": ("to both", lambda dy, a, b: (dy * (a >= b), dy)),
    "Distance": ("second sign forgotten", lambda dy, a, b: (dy * np.sign(a - b), dy * np.sign(a - b))),
    "Gate": ("factor missing", lambda dy, a, b: (dy * sigmoid(b), dy * sigmoid(b) * (1 - sigmoid(b)))),
    "Length": ("not divided", lambda dy, a, b: (dy * a, dy * b)),
    "Mean": ("not halved", lambda dy, a, b: (dy, dy)),
    "Softer": ("second gets none", lambda dy, a, b: (dy * sigmoid(a - b), np.zeros_like(b))),
}
KIND_OF = {name: kind for kind in KINDS for name in kind}
WRONG = {f"{name}: {what}": build(KIND_OF[name], name, gradient) for name, (what, gradient) in FAULTS.items()}
