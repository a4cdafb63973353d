"""The executable specification: every operation and its derivatives in plain NumPy.

Conventions, here and on every other device:

- Arrays are N x C x H x W (batch, channels, height, width); outputs are N x K x P x Q.  Any strides will do; what
  comes in C-ordered goes out C-ordered.
- dtype in = dtype out, for float32 and float64.
- "Convolution" is cross-correlation: the kernel is not flipped.  Weights are (K, C / groups, R, S), those of
  the fully connected layer (out, in), those of a transposed convolution (C, K / groups, R, S).
- ReLU'(0) = 0.  Ties in a pooling window go to its first maximum in row order.  A max-pool's padding counts
  as minus infinity.  Sizes are rounded down unless ``ceil_mode``.
- ``stride``, ``dilation`` and ``kernel_size`` are a number or (vertical, horizontal); ``padding`` may also be
  ((top, bottom), (left, right)).
- S_c, the score of class c, is the output before softmax.

A function named after an operation is its forward; ``*_input_grad``, ``*_weight_grad`` and ``*_bias_grad`` take
dy, the gradient of some scalar with respect to the output, and return its gradient with respect to that input.
These functions trust their callers: arguments are checked where a user's hand reaches them, in the layers.
"""

from types import FunctionType

from minicnn.kernels.reference.activation import (
    hardtanh,
    leaky_relu,
    leaky_relu_input_grad,
    prelu,
    prelu_input_grad,
    prelu_weight_grad,
    relu,
    relu_input_grad,
    tanh,
    tanh_input_grad,
)
from minicnn.kernels.reference.convolution import (
    conv2d,
    conv2d_bias_grad,
    conv2d_input_grad,
    conv2d_weight_grad,
    conv_transpose2d,
    conv_transpose2d_input_grad,
    conv_transpose2d_weight_grad,
)
from minicnn.kernels.reference.extrema import (
    adaptive_max_pool2d,
    adaptive_max_pool2d_input_grad,
    amax,
    amax_input_grad,
)
from minicnn.kernels.reference.fused import conv2d_relu, conv2d_relu_input_grad
from minicnn.kernels.reference.joins import (
    add,
    add_input_grad,
    concatenate,
    concatenate_input_grad,
    divide,
    divide_input_grad,
    maximum,
    maximum_input_grad,
    minimum,
    minimum_input_grad,
    multiply,
    multiply_input_grad,
    subtract,
    subtract_input_grad,
)
from minicnn.kernels.reference.linear import linear, linear_bias_grad, linear_input_grad, linear_weight_grad
from minicnn.kernels.reference.movement import (
    constant_pad2d,
    constant_pad2d_input_grad,
    dropout,
    dropout_input_grad,
    flatten,
    flatten_input_grad,
    permute,
    permute_input_grad,
    reshape,
    reshape_input_grad,
)
from minicnn.kernels.reference.normalisation import (
    batch_norm2d,
    batch_norm2d_bias_grad,
    batch_norm2d_input_grad,
    batch_norm2d_training,
    batch_norm2d_training_bias_grad,
    batch_norm2d_training_input_grad,
    batch_norm2d_training_weight_grad,
    batch_norm2d_weight_grad,
    local_response_norm,
    local_response_norm_input_grad,
)
from minicnn.kernels.reference.pointwise import pointwise, pointwise_input_grad
from minicnn.kernels.reference.pooling import (
    avg_pool2d,
    avg_pool2d_input_grad,
    global_avg_pool2d,
    global_avg_pool2d_input_grad,
    max_pool2d,
    max_pool2d_input_grad,
)
from minicnn.kernels.reference.resampling import resample, resample_input_grad
from minicnn.kernels.reference.softmax import (
    cross_entropy,
    cross_entropy_input_grad,
    log_softmax,
    log_softmax_input_grad,
    softmax,
    softmax_input_grad,
)
from minicnn.kernels.reference.standardisation import (
    scale_and_shift,
    scale_and_shift_bias_grad,
    scale_and_shift_input_grad,
    scale_and_shift_weight_grad,
    standardise,
    standardise_input_grad,
)

# The list of operations, on all devices: what is imported above.
__all__ = sorted(name for name, value in globals().items() if isinstance(value, FunctionType))
