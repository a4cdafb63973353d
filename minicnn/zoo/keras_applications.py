"""Weights of keras.applications for those architectures that are the same here: their names, order and input.

They are VGG-16 and 19 and the DenseNets.  Keras's other nets differ from torchvision's of the same name:
ResNet-50 has its strides in the 1 x 1 convolutions, Inception-v3 means without the padding, MobileNet-V2 and
EfficientNet other padding.  A whole model (.keras, .h5) holds its architecture and is read as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from minicnn.images import Preprocess
from minicnn.zoo.inputs import VGG_MEAN, caffe_preprocess
from minicnn.zoo.vgg import DEPTHS

__all__ = ["translate"]

_DENSENET: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^conv1[/_]conv\.", "features.conv0."),
    (r"^conv1[/_]bn\.", "features.norm0."),
    (r"^conv(\d)_block(\d+)_0_bn\.", lambda m: f"{_dense_layer(m)}.norm1."),
    (r"^conv(\d)_block(\d+)_1_conv\.", lambda m: f"{_dense_layer(m)}.conv1."),
    (r"^conv(\d)_block(\d+)_1_bn\.", lambda m: f"{_dense_layer(m)}.norm2."),
    (r"^conv(\d)_block(\d+)_2_conv\.", lambda m: f"{_dense_layer(m)}.conv2."),
    (r"^pool(\d)_(bn|conv)\.", lambda m: f"features.transition{int(m[1]) - 1}.{m[2].replace('bn', 'norm')}."),
    (r"^bn\.", "features.norm5."),
    (r"^predictions\.", "classifier."),
)
_DENSENET_EPS = 1.001e-5  # Keras's; torchvision's is 1e-5


def translate(name: str, state: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Preprocess | None]:
    """Return weights of keras.applications under torchvision's names, and their preprocessing where it differs.

    Parameters
    ----------
    name : str
        An architecture of the zoo.
    state : mapping of str to array
        As ``minicnn.formats.keras.read_state`` gives it; one of another origin is returned as it is.

    """
    if re.fullmatch(r"vgg1[69]", name) and "block1_conv1.weight" in state:
        return _translate_vgg(int(name[3:]), state), caffe_preprocess(224, VGG_MEAN)
    if name.startswith("densenet") and {"conv1_conv.weight", "conv1/conv.weight"} & set(state):
        return _translate_densenet(state), None
    return dict(state), None


def _translate_vgg(depth: int, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    places, place = {"fc1": "classifier.0", "fc2": "classifier.3", "predictions": "classifier.6"}, 0
    for block, repeats in enumerate(DEPTHS[depth], start=1):
        for conv in range(1, repeats + 1):
            # a convolution and its rectifier; after the last of a block a pool
            places[f"block{block}_conv{conv}"], place = f"features.{place}", place + 2
        place += 1
    arrays = {}
    for key, array in state.items():
        layer, _, parameter = key.rpartition(".")
        if key == "fc1.weight" and array.shape[1:] == (7 * 7 * 512,):
            # Keras flattens maps as H, W, C
            array = array.reshape(-1, 7, 7, 512).transpose(0, 3, 1, 2).reshape(len(array), -1)
        arrays[f"{places.get(layer, layer)}.{parameter}"] = array
    return arrays


def _translate_densenet(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = {}
    for key, array in state.items():
        for pattern, replacement in _DENSENET:
            key = re.sub(pattern, replacement, key)
        arrays[key] = array + array.dtype.type(_DENSENET_EPS - 1e-5) if key.endswith("running_var") else array
    return arrays


def _dense_layer(match: re.Match[str]) -> str:
    return f"features.denseblock{int(match[1]) - 1}.denselayer{match[2]}"
