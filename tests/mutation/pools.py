"""Mutations of pools."""

import numpy as np

from tests.mutation.convolutions import windows_for
from tests.mutation.mutations import mutation

POOL = "max_pool"


@mutation("max_pool2d_input_grad", source="FluxML/Flux.jl#1197, ahrefs/ocannl#512", tests=POOL)
def overlapping_windows_overwrite(right):
    """Overlapping windows overwrite instead of adding."""

    def wrong(dy, switches, input_size, kernel_size, **g):
        windows = windows_for(input_size, kernel_size, g)
        padded = np.zeros(dy.shape[:2] + windows.padded_size, dy.dtype)
        for r, s, tap in windows.taps(padded):
            hit = switches == r * windows.kernel_size[1] + s
            np.copyto(tap, dy, where=hit)
        return np.ascontiguousarray(windows.crop(padded))

    return wrong


@mutation("max_pool2d", source="facebookresearch/CrypTen#90", tests=POOL)
def ties_to_the_last_maximum(right):
    """Ties to the last."""

    def wrong(x, kernel_size, **g):
        y, switches = right(x, kernel_size, **g)
        windows = windows_for(x.shape[2:], kernel_size, g)
        taps = np.stack([tap for *_, tap in windows.taps(windows.pad(x, fill=-np.inf))])
        last = len(taps) - 1 - taps[::-1].argmax(axis=0)
        return y, last.astype(switches.dtype)

    return wrong


@mutation("max_pool2d", source="distdl/distdl#195, zylo117/Yet-Another-EfficientDet-Pytorch#352", tests=POOL)
def pool_padded_with_zeros(right):
    """Max-pool padded with 0."""

    def wrong(x, kernel_size, **g):
        _, switches = right(x, kernel_size, **g)
        windows = windows_for(x.shape[2:], kernel_size, g)
        taps = np.stack([tap for *_, tap in windows.taps(windows.pad(x, fill=0))])
        return taps.max(axis=0), taps.argmax(axis=0).astype(switches.dtype)

    return wrong


@mutation("max_pool2d_input_grad", source="tensorflow/tensorflow#10216", tests=POOL)
def switches_of_the_padded_input(right):
    """Switches count padded pixels."""

    def wrong(dy, switches, input_size, kernel_size, **g):
        (top, _), (left, _) = windows_for(input_size, kernel_size, g).padding
        return np.roll(right(dy, switches, input_size, kernel_size, **g), (top, left), axis=(2, 3))

    return wrong


@mutation(
    "output_size",
    source="tracel-ai/burn#5791, pytorch/pytorch#45357",
    tests="ceil_mode or torchs_pool",
    gradient=False,
)
def last_window_starts_in_the_padding(right):
    """Ceil mode keeps a window of nothing but padding."""

    def wrong(size, kernel_size, stride, padding, dilation, ceil_mode=False):
        if not ceil_mode:
            return right(size, kernel_size, stride, padding, dilation)
        right(size, kernel_size, stride, padding, dilation)  # refuses windows that do not fit
        axes = zip(size, kernel_size, stride, padding, dilation, strict=True)
        return tuple(-(-(n + a + b - d * (k - 1) - 1) // s) + 1 for n, k, s, (a, b), d in axes)

    return wrong


@mutation("max_pool2d_input_grad", source="riccardoandreoni0/CNN-from-scratch#1", tests=POOL)
def only_the_first_image_of_the_batch(right):
    """Backward returns within the loop."""

    def wrong(dy, *args, **g):
        dx = right(dy, *args, **g)
        dx[1:] = 0
        return dx

    return wrong


@mutation(
    "_tap_counts", source="sonos/tract#2851, microsoft/onnxruntime#16203", tests="avg_pool2d", gradient=False
)
def overhang_of_ceil_mode_in_the_divisor(right):
    """Average pool divides by the tail of ceil mode."""

    def wrong(windows, count_include_pad):
        counts = right(windows, count_include_pad)
        return np.full_like(counts, np.prod(windows.kernel_size)) if count_include_pad else counts

    return wrong


@mutation("_tap_counts", source="apache/tvm#1144", tests="avg_pool2d", gradient=False)
def padding_always_counted(right):
    """Padding counted."""
    return lambda windows, count_include_pad: right(windows, True)


@mutation("avg_pool2d_input_grad", source="mashmawy/AlbiruniML#2", tests="avg_pool2d")
def average_pool_passes_no_gradient(right):
    """Average pool passes no gradient."""
    return lambda *args, **g: np.zeros_like(right(*args, **g))
