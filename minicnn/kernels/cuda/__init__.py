"""The maths on an NVIDIA GPU: the names and signatures of the reference, in kernels written in Numba CUDA.

NumPy arrays in, NumPy arrays out; or device arrays in, device arrays out, with nothing crossing in between
(``arrays``).  float32 and float64.  Every kernel gathers: an output belongs to one thread or block, which sums in
an order that the shapes alone decide, so results have the same bits on every run.
"""

from minicnn.kernels import reference
from minicnn.kernels.cuda.activation import (
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
from minicnn.kernels.cuda.arrays import on_host
from minicnn.kernels.cuda.convolution import (
    conv2d,
    conv2d_bias_grad,
    conv2d_input_grad,
    conv2d_relu,
    conv2d_relu_input_grad,
    conv2d_weight_grad,
    conv_transpose2d,
    conv_transpose2d_input_grad,
    conv_transpose2d_weight_grad,
)
from minicnn.kernels.cuda.extrema import adaptive_max_pool2d, adaptive_max_pool2d_input_grad, amax, amax_input_grad
from minicnn.kernels.cuda.joins import (
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
from minicnn.kernels.cuda.linear import linear, linear_bias_grad, linear_input_grad, linear_weight_grad
from minicnn.kernels.cuda.movement import (
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
from minicnn.kernels.cuda.normalisation import (
    batch_norm2d,
    batch_norm2d_bias_grad,
    batch_norm2d_input_grad,
    batch_norm2d_weight_grad,
    local_response_norm,
    local_response_norm_input_grad,
)
from minicnn.kernels.cuda.pointwise import pointwise, pointwise_input_grad
from minicnn.kernels.cuda.pooling import (
    avg_pool2d,
    avg_pool2d_input_grad,
    global_avg_pool2d,
    global_avg_pool2d_input_grad,
    max_pool2d,
    max_pool2d_input_grad,
)
from minicnn.kernels.cuda.resampling import resample, resample_input_grad
from minicnn.kernels.cuda.softmax import (
    cross_entropy,
    cross_entropy_input_grad,
    log_softmax,
    log_softmax_input_grad,
    softmax,
    softmax_input_grad,
)
from minicnn.kernels.cuda.standardisation import (
    scale_and_shift,
    scale_and_shift_bias_grad,
    scale_and_shift_input_grad,
    scale_and_shift_weight_grad,
    standardise,
    standardise_input_grad,
)

__all__ = reference.__all__

# what has no kernel here yet is the reference's own function, on the host, with a copy there and back
globals().update({name: on_host(getattr(reference, name)) for name in __all__ if name not in globals()})
