"""Random arguments for every kernel: what the tests of the reference and of all other devices have in common.

``calls_of(operation, setting, dtype)`` makes the arguments of an operation and of all its derivatives from a
setting (``kernel_settings``): the same numbers, exact in float32, whatever the dtype; every array read-only, so
that a kernel that writes into its input fails.
"""

import copy
import inspect
from typing import NamedTuple

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.reference.axis_taps import AxisTaps
from tests.helpers.kernel_arrays import Arrays
from tests.helpers.kernel_settings import ELEMENTWISE, POINTWISE, POSITIVE, both


class Call(NamedTuple):
    """Arguments of one kernel."""

    args: tuple
    kwargs: dict

    def on(self, kernels, name):
        """Result of the kernel of that name; a random generator is copied, so that every call sees the same."""
        args = [copy.deepcopy(a) if isinstance(a, np.random.Generator) else a for a in self.args]
        return getattr(kernels, name)(*args, **self.kwargs)


def call(*args, **kwargs):
    return Call(args, kwargs)


def _take(setting, *names):
    return {name: setting[name] for name in names}


def _conv2d(setting, dtype):
    make, geometry = Arrays(setting, dtype), _take(setting, "stride", "padding", "dilation", "groups")
    n, groups, c, k, kernel_size = (setting[name] for name in ("n", "groups", "c", "k", "kernel_size"))
    x = make.input(n, groups * c, *setting["size"])
    weight = make.normal(groups * k, c, *both(kernel_size))
    bias = make.normal(groups * k) if setting["bias"] else None
    dy = make.like(reference.conv2d(x, weight, **geometry))
    return {
        "conv2d": call(x, weight, bias, **geometry),
        "conv2d_input_grad": call(dy, weight, setting["size"], **geometry),
        "conv2d_weight_grad": call(x, dy, both(kernel_size), **geometry),
        "conv2d_bias_grad": call(dy),
    }


def _conv2d_relu(setting, dtype):
    make, geometry = Arrays(setting, dtype), _take(setting, "stride", "padding", "dilation", "groups")
    n, groups, c, k, kernel_size = (setting[name] for name in ("n", "groups", "c", "k", "kernel_size"))
    x, weight = make.input(n, groups * c, *setting["size"]), make.normal(groups * k, c, *both(kernel_size))
    scale = make.normal(groups * k) if setting["scale"] else None
    shift = make.normal(groups * k) if setting["bias"] else None
    forward = call(x, weight, scale, shift, clip_max=setting["clip_max"], **geometry)
    y, mask = forward.on(reference, "conv2d_relu")
    dy = make.like(y)
    return {
        "conv2d_relu": forward,
        "conv2d_relu_input_grad": call(dy, mask, setting["rule"], weight, scale, setting["size"], **geometry),
    }


def _conv_transpose2d(setting, dtype):
    make, geometry = Arrays(setting, dtype), _take(setting, "stride", "padding", "dilation", "groups")
    n, groups, c, k, kernel_size = (setting[name] for name in ("n", "groups", "c", "k", "kernel_size"))
    x = make.input(n, groups * c, *setting["size"])
    weight = make.normal(groups * c, k, *both(kernel_size))
    bias = make.normal(groups * k) if setting["bias"] else None
    forward = call(x, weight, bias, output_padding=setting["output_padding"], **geometry)
    dy = make.like(forward.on(reference, "conv_transpose2d"))
    return {
        "conv_transpose2d": forward,
        "conv_transpose2d_input_grad": call(dy, weight, **geometry),
        "conv_transpose2d_weight_grad": call(x, dy, both(kernel_size), **geometry),
        "conv2d_bias_grad": call(dy),
    }


def _max_pool2d(setting, dtype):
    make, geometry = Arrays(setting, dtype), _take(setting, "stride", "padding", "dilation", "ceil_mode")
    x = make.input(setting["n"], setting["c"], *setting["size"])
    y, switches = reference.max_pool2d(x, setting["kernel_size"], **geometry)
    return {
        "max_pool2d": call(x, setting["kernel_size"], **geometry),
        "max_pool2d_input_grad": call(make.like(y), switches, setting["size"], setting["kernel_size"], **geometry),
    }


def _avg_pool2d(setting, dtype):
    make = Arrays(setting, dtype)
    geometry = _take(setting, "stride", "padding", "ceil_mode", "count_include_pad")
    x = make.input(setting["n"], setting["c"], *setting["size"])
    dy = make.like(reference.avg_pool2d(x, setting["kernel_size"], **geometry))
    return {
        "avg_pool2d": call(x, setting["kernel_size"], **geometry),
        "avg_pool2d_input_grad": call(dy, setting["size"], setting["kernel_size"], **geometry),
    }


def _global_avg_pool2d(setting, dtype):
    make, (n, c, h, w) = Arrays(setting, dtype), setting["shape"]
    return {
        "global_avg_pool2d": call(make.input(n, c, h, w)),
        "global_avg_pool2d_input_grad": call(make.normal(n, c, 1, 1), (h, w)),
    }


def _linear(setting, dtype):
    make, (n, fan_in, fan_out) = Arrays(setting, dtype), setting["shape"]
    x, weight, dy = make.input(n, fan_in), make.normal(fan_out, fan_in), make.normal(n, fan_out)
    return {
        "linear": call(x, weight, make.normal(fan_out) if setting["bias"] else None),
        "linear_input_grad": call(dy, weight),
        "linear_weight_grad": call(x, dy),
        "linear_bias_grad": call(dy),
    }


def _relu(setting, dtype, name="relu"):
    make = Arrays(setting, dtype)
    arguments = make.input(*setting["shape"]), *setting.get("bounds", ())
    mask = getattr(reference, name)(*arguments)[1]
    dy = make.input(*setting["shape"])
    return {name: call(*arguments), "relu_input_grad": call(dy, mask, setting["rule"])}


def _hardtanh(setting, dtype):
    return _relu(setting, dtype, "hardtanh")


def _activation(setting, dtype):
    make, (function, constants) = Arrays(setting, dtype), setting["activation"]
    x = (make.positive if function in POSITIVE else make.input)(*setting["shape"])
    return {
        "pointwise": call(x, function, constants),
        "pointwise_input_grad": call(make.like(x), x, function, constants),
    }


def _leaky_relu(setting, dtype):
    make = Arrays(setting, dtype)
    x, slope = make.input(*setting["shape"]), setting["negative_slope"]
    mask = reference.leaky_relu(x, slope)[1]
    return {"leaky_relu": call(x, slope), "leaky_relu_input_grad": call(make.like(x), mask, slope)}


def _prelu(setting, dtype):
    make = Arrays(setting, dtype)
    x = make.input(*setting["shape"])
    weight = make.normal(1 if setting["shared"] else x.shape[1])
    dy, mask = make.like(x), reference.prelu(x, weight)[1]
    return {
        "prelu": call(x, weight),
        "prelu_input_grad": call(dy, mask, weight),
        "prelu_weight_grad": call(x, dy, mask, weight),
    }


def _standardise(setting, dtype):
    make, view, options = Arrays(setting, dtype), setting["view"], _take(setting, "eps", "centred")
    x = make.input(*view)
    y, inverse = reference.standardise(x, view, **options)
    return {
        "standardise": call(x, view, **options),
        "standardise_input_grad": call(make.like(x), y, inverse, view, centred=setting["centred"]),
    }


def _scale_and_shift(setting, dtype):
    make, view = Arrays(setting, dtype), setting["view"]
    x, dy = make.input(*view), make.normal(*view)
    weight = make.normal(view[1]) if setting["weight"] else None
    bias = make.normal(view[1]) if setting["bias"] else None
    return {
        "scale_and_shift": call(x, view, weight, bias),
        "scale_and_shift_input_grad": call(dy, view, weight),
        "scale_and_shift_weight_grad": call(x, dy, view),
        "scale_and_shift_bias_grad": call(dy, view),
    }


def _local_response_norm(setting, dtype):
    make, constants = Arrays(setting, dtype), _take(setting, "alpha", "beta", "k")
    x = make.input(*setting["shape"])
    return {
        "local_response_norm": call(x, setting["size"], **constants),
        "local_response_norm_input_grad": call(x, make.like(x), setting["size"], **constants),
    }


def _batch_norm2d(setting, dtype):
    make, channels, eps = Arrays(setting, dtype), setting["shape"][1], _take(setting, "eps")
    x, mean, var = make.input(*setting["shape"]), make.normal(channels), make.positive(channels)
    weight = make.normal(channels) if setting["weight"] else None
    bias = make.normal(channels) if setting["bias"] else None
    dy = make.like(x)
    return {
        "batch_norm2d": call(x, mean, var, weight, bias, **eps),
        "batch_norm2d_input_grad": call(dy, var, weight, **eps),
        "batch_norm2d_weight_grad": call(x, dy, mean, var, **eps),
        "batch_norm2d_bias_grad": call(dy),
    }


def _batch_norm2d_training(setting, dtype):
    make, channels, eps = Arrays(setting, dtype), setting["shape"][1], _take(setting, "eps")
    x, dy = make.input(*setting["shape"]), make.normal(*setting["shape"])
    weight = make.normal(channels) if setting["weight"] else None
    bias = make.normal(channels) if setting["bias"] else None
    _, mean, var = reference.batch_norm2d_training(x, weight, bias, **eps)
    own = reference.batch_norm2d_training_weight_grad(x, dy, mean, var, **eps), dy.sum(axis=(0, 2, 3))
    return {
        "batch_norm2d_training": call(x, weight, bias, **eps),
        "batch_norm2d_training_input_grad": call(x, dy, mean, var, weight, *own, **eps),
        "batch_norm2d_training_weight_grad": call(x, dy, mean, var, **eps),
        "batch_norm2d_training_bias_grad": call(dy),
    }


def _with_output(setting, dtype, name):
    """An operation of x alone whose gradient is computed from its output."""
    make = Arrays(setting, dtype)
    x = make.input(*setting["shape"])
    y = getattr(reference, name)(x)
    return {name: call(x), f"{name}_input_grad": call(make.like(x), y)}


def _softmax(setting, dtype):
    return _with_output(setting, dtype, "softmax")


def _log_softmax(setting, dtype):
    return _with_output(setting, dtype, "log_softmax")


def _cross_entropy(setting, dtype):
    make, (n, k) = Arrays(setting, dtype), setting["shape"]
    scores, labels = make.input(n, k), make.rng.integers(0, k, n)
    return {"cross_entropy": call(scores, labels), "cross_entropy_input_grad": call(scores, labels)}


def _flatten(setting, dtype):
    make, (n, *rest) = Arrays(setting, dtype), setting["shape"]
    dy = make.normal(n, int(np.prod(rest)))
    return {"flatten": call(make.input(n, *rest)), "flatten_input_grad": call(dy, (n, *rest))}


def _constant_pad2d(setting, dtype):
    make, (n, c, h, w) = Arrays(setting, dtype), setting["shape"]
    # two more rows and columns than a padding here takes away
    x, padding = make.input(n, c, h + 2, w + 2), setting["padding"]
    dy = make.like(reference.constant_pad2d(x, padding))
    return {
        "constant_pad2d": call(x, padding, **_take(setting, "value")),
        "constant_pad2d_input_grad": call(dy, padding),
    }


def _amax(setting, dtype):
    make, axes = Arrays(setting, dtype), setting["axes"]
    x = make.input(*setting["shape"])
    y, switches = reference.amax(x, axes)
    return {"amax": call(x, axes), "amax_input_grad": call(make.like(y), switches, axes, x.shape)}


def _adaptive_max_pool2d(setting, dtype):
    make, out = Arrays(setting, dtype), setting["output_size"]
    x = make.input(*setting["shape"])
    y, switches = reference.adaptive_max_pool2d(x, out)
    return {
        "adaptive_max_pool2d": call(x, out),
        "adaptive_max_pool2d_input_grad": call(make.like(y), switches, x.shape[2:], out),
    }


def _resample(setting, dtype):
    make = Arrays(setting, dtype)
    x, taps = make.input(*setting["shape"]), []
    for n, (mapped, count, out) in zip(setting["shape"][1:], setting["taps"], strict=True):
        # as many taps as there are, some of them none, in any order and more than once
        index = make.rng.integers(-1, n, (out, count))
        weight = np.where(index < 0, 0, make.rng.standard_normal(index.shape))
        taps.append(AxisTaps(index, weight, n) if mapped else None)
    dy = make.like(reference.resample(x, taps))
    return {"resample": call(x, taps), "resample_input_grad": call(dy, taps)}


def _reshape(setting, dtype):
    make, (n, c, h, w) = Arrays(setting, dtype), setting["shape"]
    dy = make.normal(n, h, c * w)
    return {
        "reshape": call(make.input(n, c, h, w), (h, c * w)),
        "reshape_input_grad": call(dy, (n, c, h, w)),
    }


def _permute(setting, dtype):
    make, axes = Arrays(setting, dtype), setting["axes"]
    x = make.input(*setting["shape"])
    dy = make.like(reference.permute(x, axes))
    return {"permute": call(x, axes), "permute_input_grad": call(dy, axes)}


def _concatenate(setting, dtype):
    make, shape, sizes, axis = Arrays(setting, dtype), setting["shape"], setting["sizes"], setting["axis"]
    arrays = [make.input(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]
    dy = make.normal(*shape[:axis], sum(sizes), *shape[axis + 1 :])
    return {"concatenate": call(arrays, axis), "concatenate_input_grad": call(dy, tuple(sizes), axis)}


def _elementwise(operation):
    gradient = f"{operation}_input_grad"
    # what its gradient takes: the arrays, or their shapes
    takes_arrays = "x" in inspect.signature(getattr(reference, gradient)).parameters

    def calls(setting, dtype):
        make, shape = Arrays(setting, dtype), setting["shape"]
        x, other = (
            [1 if axis in axes else size for axis, size in enumerate(shape)] for axes in setting["repeated"]
        )
        x, other = make.input(*x), make.positive(*other) if operation == "divide" else make.input(*other)
        dy = make.normal(*np.broadcast_shapes(x.shape, other.shape))
        saved = (x, other) if takes_arrays else (x.shape, other.shape)
        return {operation: call(x, other), gradient: call(dy, *saved)}

    return calls


def _dropout(setting, dtype):
    make, p, rng = Arrays(setting, dtype), setting["p"], np.random.default_rng(setting["seed"])
    x = make.input(*setting["shape"])
    mask = reference.dropout(x, p, copy.deepcopy(rng))[1]
    return {"dropout": call(x, p, rng), "dropout_input_grad": call(make.like(x), mask, p)}


def _pointwise(operation):
    gradient = f"{operation}_input_grad"
    kept = list(inspect.signature(getattr(reference, gradient)).parameters)[1]  # its input x, or its output y

    def calls(setting, dtype):
        make = Arrays(setting, dtype)
        x = make.input(*setting["shape"])
        saved = x if kept == "x" else getattr(reference, operation)(x)
        return {operation: call(x), gradient: call(make.like(x), saved)}

    return calls


CASES = {
    "conv2d": _conv2d,
    "conv2d_relu": _conv2d_relu,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "global_avg_pool2d": _global_avg_pool2d,
    "linear": _linear,
    "relu": _relu,
    "hardtanh": _hardtanh,
    "pointwise": _activation,
    "standardise": _standardise,
    "scale_and_shift": _scale_and_shift,
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "local_response_norm": _local_response_norm,
    "batch_norm2d": _batch_norm2d,
    "batch_norm2d_training": _batch_norm2d_training,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "cross_entropy": _cross_entropy,
    "flatten": _flatten,
    "constant_pad2d": _constant_pad2d,
    "amax": _amax,
    "adaptive_max_pool2d": _adaptive_max_pool2d,
    "resample": _resample,
    "reshape": _reshape,
    "permute": _permute,
    "concatenate": _concatenate,
    "dropout": _dropout,
}
CASES |= {name: _elementwise(name) for name in ELEMENTWISE}
CASES |= {name: _pointwise(name) for name in POINTWISE}


def calls_of(operation, setting, dtype=np.float64):
    """{kernel name: its arguments} of one case, the forward first."""
    return CASES[operation](setting, dtype)
