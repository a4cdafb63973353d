"""What PyTorch, in float64, says about a case of kernel_cases: the value and every gradient, by kernel name.

Where torch has no such argument (padding larger on one side, or larger than half a pooling window) the input is
padded by hand and the operation without padding follows, so that autograd differentiates both.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.helpers.kernel_settings import ELEMENTWISE, POINTWISE, both, four_sides


def tensor(array):
    return torch.from_numpy(np.array(array, np.float64, order="C"))


def differentiate(f, dy, *arrays):
    """[f(arrays), d<f, dy>/d(array) for each array], in NumPy."""
    leaves = [tensor(a).requires_grad_() for a in arrays]
    y = f(*leaves)
    y.backward(torch.ones_like(y) if dy is None else tensor(dy))
    return [y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def pad(x, padding, tail=0, value=0.0):
    """``x`` with padding of each side on its own, and ``tail`` more at the bottom and the right."""
    top, bottom, left, right = four_sides(padding)
    return F.pad(x, (left, right + tail, top, bottom + tail), value=value)


def by_kernel(calls, name, values):
    """{kernel name: value} in the order of the case: forward first, then its gradients."""
    assert next(iter(calls)) == name
    return dict(zip(calls, values, strict=True))


def conv2d(calls):
    (x, weight, bias), geometry = calls["conv2d"]
    padding, rest = geometry["padding"], {k: v for k, v in geometry.items() if k != "padding"}
    bias = np.zeros(len(weight)) if bias is None else bias
    dy = calls["conv2d_input_grad"].args[0]

    def conv(x, weight, bias):
        return F.conv2d(pad(x, padding), weight, bias, **rest)

    return by_kernel(calls, "conv2d", differentiate(conv, dy, x, weight, bias))


def conv_transpose2d(calls):
    (x, weight, bias), geometry = calls["conv_transpose2d"]
    top, bottom, left, right = four_sides(geometry["padding"])
    rest = {k: v for k, v in geometry.items() if k != "padding"}
    bias = np.zeros(weight.shape[1] * geometry["groups"]) if bias is None else bias

    def crop(x, weight, bias):
        y = F.conv_transpose2d(x, weight, bias, **rest)
        return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]

    dy = calls["conv_transpose2d_input_grad"].args[0]
    return by_kernel(calls, "conv_transpose2d", differentiate(crop, dy, x, weight, bias))


def pooled_size(x, kernel_size, stride, padding, dilation, ceil_mode):
    """Output size of a pool, in the words of torch's manual: no window starts in the padding at the far side."""
    top, bottom, left, right = four_sides(padding)
    size = []
    for n, k, s, d, before, after in zip(
        x.shape[2:], both(kernel_size), both(stride), both(dilation), (top, left), (bottom, right), strict=True
    ):
        steps = (n + before + after - d * (k - 1) - 1) / s
        count = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
        size.append(count - (ceil_mode and (count - 1) * s >= n + before))
    return size


TAIL = 16  # more than any window here is long
LOWEST = -1e30  # stands for an input's minus infinity, so that it still beats the padding


def max_pool2d(calls):
    (x, kernel_size), geometry = calls["max_pool2d"]
    stride, padding, dilation = (geometry[name] for name in ("stride", "padding", "dilation"))
    p, q = pooled_size(x, kernel_size, **geometry)

    def pool(x):
        padded = pad(x, padding, TAIL, -math.inf)
        return F.max_pool2d(padded, kernel_size, stride, 0, dilation)[:, :, :p, :q]

    dy = calls["max_pool2d_input_grad"].args[0]
    y, dx = differentiate(pool, dy, np.where(np.isneginf(x), LOWEST, x))
    return by_kernel(calls, "max_pool2d", (np.where(y == LOWEST, -math.inf, y), dx))


def avg_pool2d(calls):
    (x, kernel_size), geometry = calls["avg_pool2d"]
    stride, padding, ceil_mode, include = geometry.values()
    p, q = pooled_size(x, kernel_size, stride, padding, 1, ceil_mode)

    def total(padded):
        longer = F.pad(padded, (0, TAIL, 0, TAIL))
        return F.avg_pool2d(longer, kernel_size, stride, divisor_override=1)[:, :, :p, :q]

    counted = pad(torch.ones(1, 1, *x.shape[2:]).double(), padding, value=float(include))
    count = total(counted).clamp(min=1)
    dy = calls["avg_pool2d_input_grad"].args[0]
    return by_kernel(calls, "avg_pool2d", differentiate(lambda x: total(pad(x, padding)) / count, dy, x))


def linear(calls):
    x, weight, bias = calls["linear"].args
    bias = np.zeros(len(weight)) if bias is None else bias
    return by_kernel(calls, "linear", differentiate(F.linear, calls["linear_bias_grad"].args[0], x, weight, bias))


class Rectifier(torch.autograd.Function):
    """ReLU or hardtanh whose backward is written out for each rule, in torch's own operations."""

    @staticmethod
    def forward(ctx, x, low, top, rule):
        ctx.save_for_backward(x)
        ctx.low, ctx.top, ctx.rule = low, top, rule
        return x.clamp(low, top)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        passed = torch.zeros_like(dy).masked_scatter(active := (x > ctx.low) & (x < ctx.top), dy[active])
        dx = {"gradient": passed, "deconvnet": F.relu(dy), "guided": F.relu(passed)}[ctx.rule]
        return dx, None, None, None


def rectifier(name):
    def oracle(calls):
        (x, *bounds), (dy, _, rule) = calls[name].args, calls["relu_input_grad"].args
        low, top = bounds or (0, math.inf)
        return by_kernel(calls, name, differentiate(lambda x: Rectifier.apply(x, low, top, rule.name), dy, x))

    return oracle


ACTIVATIONS = {
    "abs": torch.abs,
    "elu": lambda x, alpha, scale, input_scale: torch.ops.aten.elu(x, alpha, scale, input_scale),
    "erf": torch.erf,
    "exp": torch.exp,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardsigmoid": lambda x, alpha, beta: F.hardtanh(alpha * x + beta, 0.0, 1.0),
    "hardswish": F.hardswish,
    "log": torch.log,
    "log_sigmoid": F.logsigmoid,
    "mish": F.mish,
    "power": torch.pow,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "threshold": F.threshold,
}


def pointwise(calls):
    (x, function, constants), dy = calls["pointwise"].args, calls["pointwise_input_grad"].args[0]
    values = differentiate(lambda x: ACTIVATIONS[function](x, *constants), dy, x)
    return by_kernel(calls, "pointwise", values)


def conv2d_relu(calls):
    (x, weight, scale, shift), options = calls["conv2d_relu"]
    rest = {k: v for k, v in options.items() if k not in ("padding", "clip_max")}
    scale, shift = (np.full(len(weight), other) if a is None else a for a, other in ((scale, 1.0), (shift, 0.0)))
    dy, _, rule, *_ = calls["conv2d_relu_input_grad"].args

    def block(x):
        y = F.conv2d(pad(x, options["padding"]), tensor(weight), **rest)
        y = y * tensor(scale)[:, None, None] + tensor(shift)[:, None, None]
        return Rectifier.apply(y, 0, options["clip_max"] or math.inf, rule.name)

    return by_kernel(calls, "conv2d_relu", differentiate(block, dy, x))


def prelu(calls):
    (x, weight), dy = calls["prelu"].args, calls["prelu_input_grad"].args[0]
    return by_kernel(calls, "prelu", differentiate(F.prelu, dy, x, weight))


def standardise(calls):
    (x, view), options = calls["standardise"]

    def norm(x):
        rows = x.reshape(view).transpose(1, 2)
        norm = F.layer_norm if options["centred"] else F.rms_norm
        return norm(rows, view[1:2], eps=options["eps"]).transpose(1, 2)

    y, dx = differentiate(norm, calls["standardise_input_grad"].args[0], x)
    values = tensor(x).reshape(view)
    deviation = values.var(1, False, keepdim=True) if options["centred"] else (values**2).mean(1, keepdim=True)
    inverse = (deviation + options["eps"]).rsqrt().numpy()
    return by_kernel(calls, "standardise", ((y, inverse), dx))


def scale_and_shift(calls):
    x, view, weight, bias = calls["scale_and_shift"].args
    weight = np.ones(view[1]) if weight is None else weight
    bias = np.zeros(view[1]) if bias is None else bias

    def affine(x, weight, bias):
        return x * weight[:, None] + bias[:, None]

    dy = calls["scale_and_shift_input_grad"].args[0]
    return by_kernel(calls, "scale_and_shift", differentiate(affine, dy, x, weight, bias))


def local_response_norm(calls):
    (x, size), constants = calls["local_response_norm"]
    dy = calls["local_response_norm_input_grad"].args[1]
    values = differentiate(lambda x: F.local_response_norm(x, size, **constants), dy, x)
    return by_kernel(calls, "local_response_norm", values)


def batch_norm2d(calls):
    (x, mean, var, weight, bias), eps = calls["batch_norm2d"]
    weight = np.ones(len(mean)) if weight is None else weight
    bias = np.zeros(len(mean)) if bias is None else bias

    def norm(x, weight, bias):
        return F.batch_norm(x, tensor(mean), tensor(var), weight, bias, training=False, **eps)

    dy = calls["batch_norm2d_input_grad"].args[0]
    return by_kernel(calls, "batch_norm2d", differentiate(norm, dy, x, weight, bias))


def batch_norm2d_training(calls):
    (x, weight, bias), eps = calls["batch_norm2d_training"]
    weight = np.ones(x.shape[1]) if weight is None else weight
    bias = np.zeros(x.shape[1]) if bias is None else bias

    def norm(x, weight, bias):
        # torch refuses one value a channel, which is normalised to 0
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        return (x - mean) / (var + eps["eps"]).sqrt() * weight[:, None, None] + bias[:, None, None]

    y, *gradients = differentiate(norm, calls["batch_norm2d_training_bias_grad"].args[0], x, weight, bias)
    statistics = tensor(x).mean((0, 2, 3)).numpy(), tensor(x).var((0, 2, 3), unbiased=False).numpy()
    return by_kernel(calls, "batch_norm2d_training", ((y, *statistics), *gradients))


def direct(name, f):
    """Oracle of an operation for which torch has a function ``f`` of the same arguments."""

    def oracle(calls):
        (x, *beside), dy = calls[name].args, calls[f"{name}_input_grad"].args[0]
        return by_kernel(calls, name, differentiate(lambda x: f(x, *beside), dy, x))

    return oracle


def cross_entropy(calls):
    scores, labels = calls["cross_entropy"].args
    values = differentiate(lambda x: F.cross_entropy(x, torch.from_numpy(labels)), None, scores)
    return by_kernel(calls, "cross_entropy", values)


def concatenate(calls):
    (arrays, axis), dy = calls["concatenate"].args, calls["concatenate_input_grad"].args[0]
    y, *pieces = differentiate(lambda *leaves: torch.cat(leaves, dim=axis), dy, *arrays)
    return by_kernel(calls, "concatenate", (y, tuple(pieces)))


def elementwise(name):
    def oracle(calls):
        (x, other), dy = calls[name].args, calls[f"{name}_input_grad"].args[0]
        y, *gradients = differentiate(getattr(torch, name), dy, x, other)
        return by_kernel(calls, name, (y, tuple(gradients)))

    return oracle


def constant_pad2d(calls):
    (x, padding), value = calls["constant_pad2d"]
    dy = calls["constant_pad2d_input_grad"].args[0]
    return by_kernel(calls, "constant_pad2d", differentiate(lambda x: pad(x, padding, **value), dy, x))


def amax(x, axes):
    """The first of equal maxima, as ``torch.max`` of one axis has it; ``torch.amax`` shares the gradient."""
    last = torch.movedim(x, [axis + 1 for axis in axes], list(range(-len(axes), 0)))
    y = last.flatten(x.ndim - len(axes)).max(dim=-1).values
    return y.reshape([1 if i - 1 in axes else n for i, n in enumerate(x.shape)])


def resample(x, taps):
    """Each axis by a matrix with a row for each output."""
    for axis, along in enumerate(taps, start=1):
        if along is not None:
            matrix = torch.zeros(len(along), along.size).double()
            for (p, t), i in np.ndenumerate(along.index):
                matrix[p, i] += along.weight[p, t] if i >= 0 else 0.0
            x = torch.tensordot(x, matrix, dims=([axis], [1])).movedim(-1, axis)
    return x


def dropout(calls):
    (x, p, _), (dy, mask, _) = calls["dropout"].args, calls["dropout_input_grad"].args
    keep = tensor(mask) / (1 - p)
    return by_kernel(calls, "dropout", differentiate(lambda x: x * keep, dy, x))


ORACLES = {
    "conv2d": conv2d,
    "conv2d_relu": conv2d_relu,
    "conv_transpose2d": conv_transpose2d,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "global_avg_pool2d": direct("global_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, 1)),
    "linear": linear,
    "relu": rectifier("relu"),
    "hardtanh": rectifier("hardtanh"),
    "pointwise": pointwise,
    "standardise": standardise,
    "scale_and_shift": scale_and_shift,
    "leaky_relu": direct("leaky_relu", F.leaky_relu),
    "prelu": prelu,
    "local_response_norm": local_response_norm,
    "batch_norm2d": batch_norm2d,
    "batch_norm2d_training": batch_norm2d_training,
    "softmax": direct("softmax", lambda x: F.softmax(x, dim=1)),
    "log_softmax": direct("log_softmax", lambda x: F.log_softmax(x, dim=1)),
    "cross_entropy": cross_entropy,
    "flatten": direct("flatten", lambda x: torch.flatten(x, 1)),
    "constant_pad2d": constant_pad2d,
    "amax": direct("amax", amax),
    "adaptive_max_pool2d": direct("adaptive_max_pool2d", F.adaptive_max_pool2d),
    "resample": direct("resample", resample),
    "reshape": direct("reshape", lambda x, shape: torch.reshape(x, (-1, *shape))),
    "permute": direct("permute", lambda x, axes: torch.permute(x, (0, *(axis + 1 for axis in axes)))),
    "concatenate": concatenate,
    "dropout": dropout,
}
ORACLES |= {name: elementwise(name) for name in ELEMENTWISE}
ORACLES |= {name: direct(name, getattr(F, name)) for name in POINTWISE}
