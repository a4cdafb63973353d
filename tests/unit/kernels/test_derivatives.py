"""The reference's derivatives without a framework: adjoint identities and central differences."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels import reference
from minicnn.rules import GRADIENT
from tests.helpers.kernel_cases import Call, calls_of
from tests.helpers.kernel_settings import ELEMENTWISE, SETTINGS, both, examples, four_sides

# Adjoint identities.  A layer with parameters is a form linear in x, in weight and in dy, and its gradients read
# the same number in other ways: <conv(x, w), dy> = <x, input_grad(dy, w)> = <w, weight_grad(x, dy)>.
# Each function below gives [(the pairs whose inner products must agree, the arrays they are linear in)].


def conv2d_forms(calls):
    (x, weight, _), geometry = calls["conv2d"]
    dy, kernel_size = calls["conv2d_bias_grad"].args[0], weight.shape[2:]

    def form(x, weight, dy):
        return (
            (reference.conv2d(x, weight, **geometry), dy),
            (x, reference.conv2d_input_grad(dy, weight, x.shape[2:], **geometry)),
            (weight, reference.conv2d_weight_grad(x, dy, kernel_size, **geometry)),
        )

    def bias_form(bias, dy):
        alone = reference.conv2d(np.zeros_like(x), weight, bias, **geometry)
        return (alone, dy), (bias, reference.conv2d_bias_grad(dy))

    return [(form, (x, weight, dy)), (bias_form, (np.arange(1.0, len(weight) + 1), dy))]


def conv_transpose2d_forms(calls):
    (x, weight, _), geometry = calls["conv_transpose2d"]
    dy, back = calls["conv_transpose2d_input_grad"].args[0], calls["conv_transpose2d_input_grad"].kwargs

    def form(x, weight, dy):
        return (
            (reference.conv_transpose2d(x, weight, **geometry), dy),
            (x, reference.conv_transpose2d_input_grad(dy, weight, **back)),
            (weight, reference.conv_transpose2d_weight_grad(x, dy, weight.shape[2:], **back)),
        )

    return [(form, (x, weight, dy))]


def linear_forms(calls):
    x, weight, _ = calls["linear"].args
    dy = calls["linear_bias_grad"].args[0]

    def form(x, weight, dy):
        return (
            (reference.linear(x, weight), dy),
            (x, reference.linear_input_grad(dy, weight)),
            (weight, reference.linear_weight_grad(x, dy)),
        )

    def bias_form(bias, dy):
        return (reference.linear(np.zeros_like(x), weight, bias), dy), (bias, reference.linear_bias_grad(dy))

    return [(form, (x, weight, dy)), (bias_form, (np.arange(1.0, len(weight) + 1), dy))]


def scale_and_shift_forms(calls):
    """Linear in x, in weight, and alone in bias."""
    x, view, weight, bias = calls["scale_and_shift"].args
    dy = calls["scale_and_shift_bias_grad"].args[0]
    weight = np.arange(1.0, view[1] + 1) if weight is None else weight
    bias = np.arange(1.0, view[1] + 1) if bias is None else bias

    def form(x, weight, dy):
        return (
            (reference.scale_and_shift(x, view, weight), dy),
            (x, reference.scale_and_shift_input_grad(dy, view, weight)),
            (weight, reference.scale_and_shift_weight_grad(x, dy, view)),
        )

    def bias_form(bias, dy):
        alone = reference.scale_and_shift(np.zeros_like(x), view, None, bias)
        return (alone, dy), (bias, reference.scale_and_shift_bias_grad(dy, view))

    return [(form, (x, weight, dy)), (bias_form, (bias, dy))]


def batch_norm2d_forms(calls):
    """Without mean and bias linear in x and weight; with a mean in weight; alone in bias."""
    (x, mean, var, weight, _), eps = calls["batch_norm2d"]
    dy, none = calls["batch_norm2d_bias_grad"].args[0], np.zeros_like(mean)

    def form(x, weight, dy):
        return (
            (reference.batch_norm2d(x, none, var, weight, **eps), dy),
            (x, reference.batch_norm2d_input_grad(dy, var, weight, **eps)),
            (weight, reference.batch_norm2d_weight_grad(x, dy, none, var, **eps)),
        )

    def weight_form(x, minus_mean, weight, dy):
        return (
            (reference.batch_norm2d(x, -minus_mean, var, weight, **eps), dy),
            (weight, reference.batch_norm2d_weight_grad(x, dy, -minus_mean, var, **eps)),
        )

    def bias_form(bias, dy):
        alone = reference.batch_norm2d(np.zeros_like(x), none, var, None, bias, **eps)
        return (alone, dy), (bias, reference.batch_norm2d_bias_grad(dy))

    weight = np.arange(1.0, len(mean) + 1) if weight is None else weight
    return [(form, (x, weight, dy)), (weight_form, (x, -mean, weight, dy)), (bias_form, (weight, dy))]


def max_pool2d_forms(calls):
    """With the switches fixed, a max-pool picks one pixel for each output."""
    (x, kernel_size), geometry = calls["max_pool2d"]
    dy, switches, input_size = calls["max_pool2d_input_grad"].args[:3]
    (stride, across), (dilation, beside) = both(geometry["stride"]), both(geometry["dilation"])
    top, _, left, _ = four_sides(geometry["padding"])
    r, s = np.divmod(switches.astype(int), both(kernel_size)[1])
    n, c, p, q = np.indices(switches.shape)
    row, column = p * stride + r * dilation - top, q * across + s * beside - left
    inside = (row >= 0) & (row < input_size[0]) & (column >= 0) & (column < input_size[1])
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)

    def form(x, dy):
        picked = np.where(inside, x[n, c, row, column], 0)
        dx = reference.max_pool2d_input_grad(dy, switches, input_size, kernel_size, **geometry)
        return (picked, dy), (x, dx)

    return [(form, (x, dy))]


def plain_forms(name):
    """A map of x alone: the arguments beside x and dy are those of the case."""

    def forms(calls):
        (x, *beside), kwargs = calls[name]
        (dy, *back), back_kwargs = calls[f"{name}_input_grad"]

        def form(x, dy):
            y = getattr(reference, name)(x, *beside, **kwargs)
            return (y, dy), (x, getattr(reference, f"{name}_input_grad")(dy, *back, **back_kwargs))

        return [(form, (x, dy))]

    return forms


def concatenate_forms(calls):
    (arrays, axis), (dy, sizes, _) = calls["concatenate"].args, calls["concatenate_input_grad"].args

    def form(dy, *arrays):
        pieces = reference.concatenate_input_grad(dy, sizes, axis)
        return (reference.concatenate(arrays, axis), dy), (flat(arrays), flat(pieces))

    return [(form, (dy, *arrays))]


def sum_forms(name):
    """A map that is linear in both of its arrays together."""

    def forms(calls):
        x, other = calls[name].args
        dy, *shapes = calls[f"{name}_input_grad"].args

        def form(x, other, dy):
            gradients = getattr(reference, f"{name}_input_grad")(dy, *shapes)
            return (getattr(reference, name)(x, other), dy), (flat((x, other)), flat(gradients))

        return [(form, (x, other, dy))]

    return forms


def multiply_forms(calls):
    """Linear in each of both arrays alone."""
    (x, other), dy = calls["multiply"].args, calls["multiply_input_grad"].args[0]

    def form(x, other, dy):
        dx, dother = reference.multiply_input_grad(dy, x, other)
        return (reference.multiply(x, other), dy), (x, dx), (other, dother)

    return [(form, (x, other, dy))]


def switched_forms(name):
    """A maximum with its switches fixed: <A x, dy> = <x, A^T dy>, where A x picks the values at the switches."""

    def forms(calls):
        (x, *_), (dy, *beside) = calls[name].args, calls[f"{name}_input_grad"].args
        back = getattr(reference, f"{name}_input_grad")
        # row i of A^T, an output's own dx, is where it reads
        picks = [back(row.reshape(dy.shape), *beside) for row in np.eye(dy.size)]

        def form(x, dy):
            y = np.array([np.vdot(pick, x) for pick in picks]).reshape(dy.shape)
            return (y, dy), (x, back(dy, *beside))

        return [(form, (x, dy))]

    return forms


def padding_forms(calls):
    """<A x, dy> = <x, A^T dy> for the linear part A, whose border is 0."""
    return plain_forms("constant_pad2d")({name: Call(c.args, {}) for name, c in calls.items()})


def self_adjoint_forms(name):
    """A map that scales each value on its own, with the mask fixed: <B u, v> = <u, B v>, and y = B x."""

    def forms(calls):
        x, (dy, *beside) = calls[next(iter(calls))].args[0], calls[name].args

        def form(u, v):
            back = getattr(reference, name)
            return (back(u, *beside), v), (u, back(v, *beside))

        return [(form, (x, dy))]

    return forms


FORMS = {
    "conv2d": conv2d_forms,
    "conv_transpose2d": conv_transpose2d_forms,
    "linear": linear_forms,
    "batch_norm2d": batch_norm2d_forms,
    "max_pool2d": max_pool2d_forms,
    "avg_pool2d": plain_forms("avg_pool2d"),
    "global_avg_pool2d": plain_forms("global_avg_pool2d"),
    "constant_pad2d": padding_forms,
    "resample": plain_forms("resample"),
    "amax": switched_forms("amax"),
    "adaptive_max_pool2d": switched_forms("adaptive_max_pool2d"),
    "flatten": plain_forms("flatten"),
    "reshape": plain_forms("reshape"),
    "permute": plain_forms("permute"),
    "concatenate": concatenate_forms,
    "add": sum_forms("add"),
    "subtract": sum_forms("subtract"),
    "multiply": multiply_forms,
    "dropout": self_adjoint_forms("dropout_input_grad"),
    "relu": self_adjoint_forms("relu_input_grad"),
    "scale_and_shift": scale_and_shift_forms,
    "hardtanh": self_adjoint_forms("relu_input_grad"),
    "leaky_relu": self_adjoint_forms("leaky_relu_input_grad"),
    "prelu": self_adjoint_forms("prelu_input_grad"),
}


@pytest.mark.parametrize("operation", FORMS)
@examples(100)
@given(data=st.data())
def test_adjoint_identity(operation, data):
    setting = data.draw(SETTINGS[operation]) | {"values": "normal", "rule": GRADIENT}
    for form, arrays in FORMS[operation](calls_of(operation, setting)):
        numbers = [np.vdot(a, b) for a, b in form(*arrays)]
        # n roundings in a row err by at most n eps sum |terms| on each side; no chain is longer than all values.
        absolute = max(np.vdot(abs(a), abs(b)) for a, b in form(*map(np.abs, arrays)))
        tolerance = 2 * np.finfo(float).eps * sum(a.size for a in arrays) * absolute
        np.testing.assert_allclose(numbers, numbers[0], rtol=0, atol=tolerance, err_msg=form.__qualname__)


# Central differences along a random direction v: (<F(x + h v), dy> - <F(x - h v), dy>) / 2h = <dx, v>.

STEP = 1e-5
# The truncation error is of order STEP^2 = 1e-10, the rounding error eps / STEP = 2e-11 for each of up to some
# hundred roundings in a chain, both times the terms that are summed.
TOLERANCE = 1e-8


def gradients(operation, calls):
    """(gradient kernel, the forward's parameter that it belongs to, gradient) for every gradient of the case."""
    parameters = list(inspect.signature(getattr(reference, operation)).parameters)
    for name in list(calls)[1:]:
        result, kind = calls[name].on(reference, name), name.split("_")[-2]
        if operation in ELEMENTWISE:
            yield from zip((name, name), parameters, result, strict=True)
        else:
            yield name, parameters[0] if kind == "input" else kind, result


def bound(name, call):
    return inspect.signature(getattr(reference, name)).bind(*call.args, **call.kwargs)


def moved(x, step, v):
    """Return x + step v; x may be a list of arrays."""
    return [a + step * b for a, b in zip(x, v, strict=True)] if isinstance(x, list) else x + step * v


def flat(x):
    return np.concatenate([a.ravel() for a in x]) if isinstance(x, list | tuple) else x.ravel()


def differences(operation, setting):
    """Yield (gradient kernel, central difference, <gradient, v>, size of the terms) for every gradient of a case.

    Inputs are "distinct": no tie and no kink lies within a step.
    """
    setting = setting | {"values": "distinct", "rule": GRADIENT}
    calls, rng = calls_of(operation, setting), np.random.default_rng(setting["seed"])
    for name, parameter, gradient in gradients(operation, calls):
        forward, dy = bound(operation, calls[operation]), bound(name, calls[name]).arguments.get("dy", 1.0)
        x = forward.arguments[parameter]
        x = np.full(gradient.shape, float(parameter == "weight")) if x is None else x
        v = [rng.standard_normal(a.shape) for a in x] if isinstance(x, list) else rng.standard_normal(x.shape)

        def terms(step, forward=forward, parameter=parameter, x=x, dy=dy, v=v):
            forward.arguments[parameter] = moved(x, step, v)
            result = Call(forward.args, forward.kwargs).on(reference, operation)
            y = result[0] if isinstance(result, tuple) else result
            return np.where(np.isfinite(y), y, 0) * dy

        difference = (terms(STEP) - terms(-STEP)).sum() / (2 * STEP)
        products = flat(gradient) * flat(v)
        yield name, difference, products.sum(), np.abs(products).sum() + np.abs(terms(0)).sum()


@pytest.mark.parametrize("operation", SETTINGS)
@examples(60)
@given(data=st.data())
def test_central_differences(operation, data):
    for name, difference, product, scale in differences(operation, data.draw(SETTINGS[operation])):
        assert abs(difference - product) <= TOLERANCE * scale, f"{name}: {difference}, {product}"
