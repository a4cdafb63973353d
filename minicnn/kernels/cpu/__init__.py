"""The operations on the CPU's cores: the names and signatures of the reference, in Numba and BLAS.

float32 arrays come here; float64, which is for checking, goes to the reference.  Where NumPy is as fast, the
reference's function is the one that is exported.  Kernels are compiled when they are first called and kept for
later processes (``runtime.cache``); they share one pool of threads (``runtime.thread_pool``), and give the same
bits on any number of them.
"""

from minicnn.kernels import reference
from minicnn.kernels.cpu.activation import hardtanh, relu, relu_input_grad
from minicnn.kernels.cpu.batch_statistics import (
    batch_norm2d_bias_grad,
    batch_norm2d_training,
    batch_norm2d_training_bias_grad,
    batch_norm2d_training_input_grad,
    batch_norm2d_training_weight_grad,
    batch_norm2d_weight_grad,
)
from minicnn.kernels.cpu.conv.bias_grad import conv2d_bias_grad
from minicnn.kernels.cpu.conv.dispatch import (
    conv2d,
    conv2d_input_grad,
    conv2d_relu,
    conv2d_relu_input_grad,
    conv2d_weight_grad,
    conv_transpose2d,
    conv_transpose2d_input_grad,
    conv_transpose2d_weight_grad,
)
from minicnn.kernels.cpu.dtype import add
from minicnn.kernels.cpu.linear.linear import linear, linear_input_grad, linear_weight_grad
from minicnn.kernels.cpu.normalisation import (
    batch_norm2d,
    batch_norm2d_input_grad,
    local_response_norm,
    local_response_norm_input_grad,
)
from minicnn.kernels.cpu.pointwise import pointwise, pointwise_input_grad
from minicnn.kernels.cpu.pool.avg_pool import avg_pool2d, avg_pool2d_input_grad
from minicnn.kernels.cpu.pool.max_pool import max_pool2d, max_pool2d_input_grad

__all__ = reference.__all__

# What only moves values, is small, or is one pass in NumPy already is the reference's own function.
globals().update({name: getattr(reference, name) for name in __all__ if name not in globals()})
