"""Layers of ours from those of Keras that pool, resize, surround, cut and reorder maps."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from minicnn import layers as nn
from minicnn.formats.containers.files import escape
from minicnn.formats.keras.channel_order import CHOICE, PART
from minicnn.formats.keras.context import BuildContext, count_channels, find_axis, map_size, padding_mode, sizes
from minicnn.formats.keras.model import Spec
from minicnn.layers import Layer
from minicnn.shapes import Sides, same_padding

__all__ = ["MAP_LAYERS"]


def _pool(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    kernel = spec.pair("pool_size", 2)
    stride = kernel if spec.get("strides") is None else spec.pair("strides")
    padding: int | Sides = 0
    if padding_mode(spec) == "same":
        padding = same_padding(map_size(spec, context), kernel, stride, (1, 1))
    if spec.kind.startswith("Max"):
        return [nn.MaxPool2d(kernel, stride=stride, padding=padding)]
    return [nn.AvgPool2d(kernel, stride=stride, padding=padding, count_include_pad=False)]


def _global_pool(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    count_channels(spec, context)
    pool: Layer = nn.GlobalAvgPool2d()
    if "Max" in spec.kind:
        pool = nn.AdaptiveMaxPool2d(1) if None in context.shape else nn.MaxPool2d(map_size(spec, context))
    return [pool] if spec.get("keepdims", False) else [pool, nn.Flatten()]


def _zero_padding(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    return [nn.ZeroPad2d(_border(spec, "padding", 1))]


def _reshape(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Reshape in the file's order of axes."""
    target, known_sizes = spec.get("target_shape"), sizes(context)
    if target is None and (whole := spec.get("newshape")) and whole[0] == -1:
        target = list(whole[1:])  # of the operation, which counts the batch too
    if known_sizes is None or not isinstance(target, list) or not all(isinstance(n, int) for n in target):
        raise spec.error(f"can't be done from {escape(context.shape)} to {escape(target)}")
    total, known = prod(known_sizes), prod(n for n in target if n != -1)
    shape = tuple(total // max(known, 1) if n == -1 else n for n in target)
    moves_channels = not context.channels_first
    # Keras counts values in the order H, W, C: go there, reshape, come back
    before: list[Layer] = [nn.Permute((1, 2, 0))] if moves_channels and len(context.shape) == 3 else []
    after: list[Layer] = [nn.Permute((2, 0, 1))] if moves_channels and len(shape) == 3 else []
    return [*before, nn.Reshape(shape), *after]


def _flatten(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Flatten in the order of Keras, H, W, C; it says so itself where maps are C x H x W there too."""
    first = spec.channels_first()
    if None in context.shape:
        raise spec.error(f"needs the size of its input, which is {escape(context.shape)}")
    if len(context.shape) == 1:
        return []
    # rows of values are in the file's order here too
    if len(context.shape) == 2:
        return [nn.Flatten()]
    moves_channels = first is True or not context.channels_first
    # maps of one pixel are the same vector in either order
    return (
        [nn.Permute((1, 2, 0)), nn.Flatten()] if moves_channels and context.shape[1:] != (1, 1) else [nn.Flatten()]
    )


def _border(spec: Spec, key: str, default: int) -> tuple[int, int, int, int]:
    """Return (left, right, top, bottom) of a padding or a cropping."""
    given = spec.get(key, default)
    match given:
        case int():
            sides = (given,) * 4
        case [int(vertical), int(horizontal)]:
            sides = (horizontal, horizontal, vertical, vertical)
        case [[int(top), int(bottom)], [int(left), int(right)]] | [int(top), int(bottom), int(left), int(right)]:
            sides = (left, right, top, bottom)
        case _:
            raise spec.error(f"{key}: expected one number, two, or two pairs, found {escape(given)}")
    if not 0 <= min(sides) <= max(sides) < 1 << 16:
        raise spec.error(f"{key}: {escape(given)} is below 0, or too much")
    return sides


def _cropping(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    left, right, top, bottom = _border(spec, "cropping", 0)
    return [nn.ZeroPad2d((-left, -right, -top, -bottom))]


def _up_sampling(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    factors, mode = spec.pair("size", 2), spec.get("interpolation", "nearest")
    if mode not in ("nearest", "bilinear"):
        raise spec.error(f"interpolation {escape(mode)}, which backends compute differently; there is bilinear")
    if mode == "bilinear" and context.old_backend:
        raise spec.error("interpolation 'bilinear' of Keras before 2.4, which placed pixels by their corners")
    return [nn.Upsample(scale_factor=factors, mode=mode)]


def _resizing(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Resizing without smoothing, which moves the image's centres: TensorFlow's nearest is torch's exact one."""
    modes = {"nearest": "nearest-exact", "bilinear": "bilinear"}
    mode = spec.get("interpolation", "bilinear")
    if mode not in modes:
        raise spec.error(f"interpolation {escape(mode)}, which backends compute differently; there is bilinear")
    for key in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"):
        spec.check_value(key, False)
    spec.get("fill_mode"), spec.get("fill_value")  # of a padding that there is not
    size = spec.pair("height")[0], spec.pair("width")[0]
    return [nn.Upsample(size, mode=modes[mode])]


def _permute(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Permute in the file's order of axes."""
    dims, rank = spec.get("dims"), len(context.shape)
    if not isinstance(dims, list | tuple) or sorted(dims) != list(range(1, rank + 1)):
        raise spec.error(f"dims: expected each of 1 to {rank} once, found {escape(dims)}")
    axes = tuple(d - 1 for d in dims)
    if rank == 3 and not context.channels_first:
        # from C, H, W to H, W, C, there the file's order, and back
        there, back = (1, 2, 0), (2, 0, 1)
        axes = tuple(there[axes[axis]] for axis in back)
    return [nn.Permute(axes)]


def _repeat_vector(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return the layers that give a vector n times, as rows."""
    count = spec.get("n")
    if len(context.shape) != 1 or not isinstance(count, int) or not 1 <= count <= 1 << 12:
        raise spec.error(
            f"repeats {escape(context.shape)} {escape(count)} times; expected a vector, 1 to 4096 times"
        )
    (length,) = context.shape
    if length is None:
        raise spec.error("needs the length of its input, which is open")
    return [nn.Reshape((1, length)), nn.IndexSelect(1, (0,) * count)]


def _adaptive_pool(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    count_channels(spec, context)
    size = spec.pair("output_size")
    return [nn.AdaptiveAvgPool2d(size) if "Average" in spec.kind else nn.AdaptiveMaxPool2d(size)]


def _choice(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    return [nn.IndexSelect(_selected_axis(spec, context), tuple(spec.get("places")))]


def _part(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    start, stop, step = spec.get("part")
    return [nn.Slice(_selected_axis(spec, context), start, stop, 1 if step is None else step)]


def _selected_axis(spec: Spec, context: BuildContext) -> int:
    return find_axis(spec, spec.get("axis"), len(context.shape), context.channels_first)


MAP_LAYERS: dict[str, Callable[[Spec, list[np.ndarray], BuildContext], list[Layer]]] = {
    **dict.fromkeys(("AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D"), _adaptive_pool),
    **dict.fromkeys(("MaxPooling2D", "AveragePooling2D"), _pool),
    **dict.fromkeys(("GlobalAveragePooling2D", "GlobalMaxPooling2D"), _global_pool),
    CHOICE: _choice,
    PART: _part,
    "Cropping2D": _cropping,
    "Flatten": _flatten,
    "Permute": _permute,
    "RepeatVector": _repeat_vector,
    "Reshape": _reshape,
    "Resizing": _resizing,
    "UpSampling2D": _up_sampling,
    "ZeroPadding2D": _zero_padding,
}
