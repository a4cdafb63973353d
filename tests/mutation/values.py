"""Mutations of rectifiers, normalisation, softmax, blocks, and the three backward rules."""

import numpy as np

from minicnn.kernels.reference.normalisation import _channel_sums, _denominator
from minicnn.rules import DECONVNET, GRADIENT, GUIDED
from tests.mutation.mutations import mutation

NORM = "batch_norm"


@mutation("relu", source="tensorflow/playground#19", tests="kinks_by_hand or torchs[relu]")
def derivative_of_relu_at_zero_is_one(right):
    """ReLU's mask x >= 0."""
    return lambda x: (right(x)[0], x >= 0)


@mutation(
    "hardtanh",
    source="Oneflow-Inc/OneFlow-Benchmark#166, pytorch/pytorch#184574",
    tests="kinks_by_hand or hardtanh",
)
def derivative_of_relu6_at_its_kinks_is_one(right):
    """ReLU6's mask 0 <= x <= 6."""
    return lambda x, low, high: (right(x, low, high)[0], (x >= low) & (x <= high))


@mutation("relu_input_grad", source="deeplearning4j/nd4j#271", tests="relu")
def derivative_of_relu_is_one_everywhere(right):
    """ReLU's derivative 1."""
    return lambda dy, mask, rule: dy if rule == GRADIENT else right(dy, mask, rule)


@mutation("relu", source="deepakcrk/CNN_ForDummies#20, meta-pytorch/captum#914", tests="test_network")
def relu_overwrites_its_input(right):
    """In place, where a shortcut still reads."""

    def wrong(x):
        y, mask = right(x)
        if x.flags.writeable:
            x[...] = y
        return y, mask

    return wrong


@mutation("prelu_weight_grad", source="tensorflow/tfjs#1072", tests="prelu")
def slope_gradient_from_the_positive_side(right):
    """PReLU's slope gradient from the wrong side."""
    return lambda x, dy, mask, weight: right(x, dy, ~mask, weight)


@mutation("prelu", source="apache/mxnet#3277", tests="prelu")
def mask_from_the_sign_of_the_output(right):
    """PReLU's mask from its output, slope negative."""

    def wrong(x, weight):
        y, _ = right(x, weight)
        return y, y > 0

    return wrong


@mutation("leaky_relu", source="chainer/chainer#5922", tests="leaky_relu")
def flat_slope_taken_for_the_positive_side(right):
    """Leaky ReLU with slope 0."""

    def wrong(x, negative_slope):
        y, mask = right(x, negative_slope)
        return y, y >= 0 if negative_slope == 0 else mask

    return wrong


@mutation(
    "local_response_norm",
    "local_response_norm_input_grad",
    source="MarcBS/keras#4, heuritech/convnets-keras#6",
    tests="local_response",
    gradient=False,
)
def lrn_alpha_not_divided(right):
    """LRN's alpha not divided by n."""

    def wrong(*args, alpha=1e-4, **g):
        size = g["size"] if "size" in g else args[-1]
        return right(*args, alpha=alpha * size, **g)

    return wrong


@mutation("local_response_norm_input_grad", source="andersbll/deeppy#15", tests="local_response")
def lrn_gradient_of_another_layer(right):
    """LRN's backward a copy of ReLU's."""
    return lambda x, dy, size, **g: np.where(x > 0, dy, 0)


@mutation("local_response_norm_input_grad", source="vlfeat/matconvnet#10, BVLC/caffe#5105", tests="local_response")
def lrn_cross_term_with_its_own_cotangent(right):
    """LRN's cross term with dy of the wrong channel."""

    def wrong(x, dy, size, *, alpha=1e-4, beta=0.75, k=1.0):
        d = _denominator(x, size, alpha, k)
        shared = _channel_sums(x * d ** (-beta - 1), (size - 1) // 2, size // 2)
        return dy * d ** (-beta) - 2 * alpha * beta / size * x * dy * shared

    return wrong


@mutation(
    "local_response_norm",
    "local_response_norm_input_grad",
    source="alibaba/MNN#192",
    tests="local_response",
    gradient=False,
)
def lrn_radius_for_size(right):
    """LRN's size taken for a radius."""

    def wrong(*args, **g):
        if "size" in g:
            return right(*args, **{**g, "size": 2 * g["size"] + 1})
        return right(*args[:-1], 2 * args[-1] + 1, **g)

    return wrong


@mutation("batch_norm2d", source="jax-ml/jax#442", tests=NORM)
def squared_variance_for_its_root(right):
    """Square for root."""

    def wrong(x, mean, var, weight=None, bias=None, *, eps=1e-5):
        y = (x - mean[:, None, None]) / (var + eps)[:, None, None] ** 2
        y = y if weight is None else y * weight[:, None, None]
        return y if bias is None else y + bias[:, None, None]

    return wrong


@mutation(
    "batch_norm2d",
    "batch_norm2d_input_grad",
    "batch_norm2d_weight_grad",
    source="gzuidhof/nn-transfer#3, qqwweee/keras-yolo3#451",
    tests=NORM,
    gradient=False,
)
def epsilon_of_another_framework(right):
    """Batch norm's eps that of another framework."""
    return lambda *args, eps=1e-5: right(*args, eps=1e-5)


@mutation("batch_norm2d", source="ROCm/rocm-libraries#2492", tests=NORM)
def inverse_variance_taken_for_variance(right):
    """Inverse deviation used as variance."""

    def wrong(x, mean, var, weight=None, bias=None, *, eps=1e-5):
        return right(x, mean, 1 / np.sqrt(var + eps), weight, bias, eps=0.0)

    return wrong


@mutation("softmax", source="perone/euclidesdb#2", tests="softmax")
def softmax_over_the_batch(right):
    """Softmax over the batch."""
    return lambda x: right(x.swapaxes(0, 1)).swapaxes(0, 1)


@mutation(
    "softmax", source="intel/xFasterTransformer#326, numenta/nupic-legacy#3818", tests="softmax", gradient=False
)
def softmax_that_overflows(right):
    """Softmax without subtracting the maximum."""

    def wrong(x):
        e = np.exp(x)
        return e / e.sum(axis=1, keepdims=True)

    return wrong


@mutation("cross_entropy_input_grad", source="davharris/mistnet#33", tests="cross_entropy or loss_gradient")
def loss_gradient_summed_over_the_batch(right):
    """Loss gradient a sum over the batch."""
    return lambda scores, labels: right(scores, labels) * scores.dtype.type(len(labels))


@mutation("cross_entropy", source="tensorflow/tensorflow#1358", tests="cross_entropy or loss_gradient")
def loss_summed_over_the_batch(right):
    """Loss a sum over the batch."""
    return lambda scores, labels: right(scores, labels) * len(labels)


@mutation("flatten", source="keras-team/keras#9696, microsoft/MMdnn#250", tests="flatten")
def flattened_channels_last(right):
    """Flattened H W C."""
    return lambda x: right(np.moveaxis(x, 1, -1) if x.ndim == 4 else x)


@mutation("add_input_grad", source="paiml/entrenar#313", tests="add or test_network")
def gradient_of_the_shortcut_dropped(right):
    """Residual gradient dropped."""

    def wrong(dy, *shapes):
        dx, other = right(dy, *shapes)
        return dx, np.zeros_like(other)

    return wrong


@mutation("dropout", source="kaldi-asr/kaldi#2814, lmjohns3/theanets#123", tests="dropout", gradient=False)
def dropout_scaled_by_what_is_dropped(right):
    """Dropout scaled by 1 / p."""

    def wrong(x, p, rng):
        y, kept = right(x, p, rng)
        return (y * x.dtype.type((1 - p) / p) if p else y), kept

    return wrong


@mutation("relu_input_grad", source="utkuozbulak/pytorch-cnn-visualizations#59", tests="rule", gradient=False)
def guided_without_the_forward_mask(right):
    """Guided without the forward mask."""
    return lambda dy, mask, rule: right(dy, mask, DECONVNET if rule == GUIDED else rule)


@mutation("relu_input_grad", source="utkuozbulak/pytorch-cnn-visualizations#46", tests="rule", gradient=False)
def rule_only_before_the_classifier(right):
    """Rule left out after Flatten."""
    return lambda dy, mask, rule: right(dy, mask, rule if dy.ndim == 4 else GRADIENT)


@mutation(
    "conv2d_relu_input_grad",
    source="meta-pytorch/captum#973, kazuto1011/grad-cam-pytorch#2",
    tests="conv2d_relu or fused",
    gradient=False,
)
def rule_escapes_the_merged_layer(right):
    """Rule does not reach a merged rectifier."""
    return lambda dy, mask, rule, *args, **g: right(dy, mask, GRADIENT, *args, **g)
