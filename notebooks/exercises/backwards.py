"""Tests of the exercises of notebook 2."""

from itertools import product

import numpy as np

from exercises.trying import judge, judge_parts
from minicnn.kernels import reference


def check_pool(answer):
    """Try ``answer(dy, size, stride, input_size)`` on windows that overlap, that touch, and that leave a gap."""
    rng = np.random.default_rng(0)
    cases = []
    for (size, stride), input_size in product(((2, 2), (3, 1), (3, 2), (2, 3)), ((6, 6), (7, 10))):
        output_size = [(side - size) // stride + 1 for side in input_size]
        cases.append((rng.standard_normal((2, 3, *output_size)), size, stride, input_size))
    return judge(
        answer,
        cases,
        lambda dy, size, stride, input_size: reference.avg_pool2d_input_grad(dy, input_size, size, stride=stride),
        lambda dy, size, stride, input_size: (
            f"dy {dy.shape}, windows of {size} x {size}, stride {stride} and an input of {input_size}"
        ),
    )


def check_padded(answer):
    """Try ``answer(dy, w, input_size, stride, padding)``, strides that leave a rest among them."""
    rng = np.random.default_rng(1)
    cases = []
    for (stride, padding), input_size in product(((1, 0), (1, 1), (2, 1), (2, 0), (3, 2)), ((6, 6), (5, 9))):
        w = rng.standard_normal((4, 3, 3, 2))
        P, Q = ((side + 2 * padding - taps) // stride + 1 for side, taps in zip(input_size, (3, 2), strict=True))
        cases.append((rng.standard_normal((2, 4, P, Q)), w, input_size, stride, padding))
    return judge(
        answer,
        cases,
        lambda dy, w, input_size, stride, padding: reference.conv2d_input_grad(
            dy, w, input_size, stride=stride, padding=padding
        ),
        lambda dy, w, input_size, stride, padding: (
            f"dy {dy.shape}, w {w.shape}, an input of {input_size}, stride {stride} and padding {padding}"
        ),
    )


def check_dilated(answer):
    """Try ``answer(x, w, dy, dilation)``: first the gradient of the input, then that of the weights."""
    rng = np.random.default_rng(2)
    cases = []
    for dilation, taps in product((1, 2, 3), ((3, 3), (2, 3))):
        x, w = rng.standard_normal((2, 3, 9, 10)), rng.standard_normal((4, 3, *taps))
        dy = rng.standard_normal(reference.conv2d(x, w, dilation=dilation).shape)
        cases.append((x, w, dy, dilation))

    def say(x, w, dy, dilation):
        return f"x {x.shape}, w {w.shape} and dilation {dilation}"

    def dx(x, w, dy, dilation):
        return reference.conv2d_input_grad(dy, w, x.shape[2:], dilation=dilation)

    def dw(x, w, dy, dilation):
        return reference.conv2d_weight_grad(x, dy, w.shape[2:], dilation=dilation)

    return judge_parts(answer, cases, {"dx": dx, "dw": dw}, say)
