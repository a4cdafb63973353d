"""The nets of keras.applications with random weights, as .keras and .h5 files, and their answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def keras_files(name: str, folder: Path) -> Iterator[tuple[str, Path | Exception, dict]]:
    """Yield both files that Keras writes of a net, and the net's own answers, computed by torch."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from coverage_torch import torch_peer  # isort: skip  (Keras takes this folder from the path)
    import keras
    import torch

    torch.set_num_threads(1)
    model, x = settled_keras(name)
    paths: dict[str, Path | Exception] = {}
    for file in (".keras", ".h5"):
        try:
            paths[file] = path = folder / f"{name}{file}"
            model.save(path)
        except Exception as error:
            paths[file] = error
    keras.layers.BatchNormalization.call = normalise
    model.layers[-1].activation = keras.activations.linear

    class Scores(torch.nn.Module):
        def forward(self, x):
            return model(x.permute(0, 2, 3, 1), training=False)

    peer = torch_peer(Scores(), torch.from_numpy(channels_first(x)))
    for file, path in paths.items():
        yield file, path, peer


def settled_keras(name: str):
    """Return a net of keras.applications with random weights, its statistics those of a batch, and an image."""
    import keras

    keras.utils.set_random_seed(0)
    keras.backend.set_floatx("float64")
    sizes = {
        "InceptionV3": 96,
        "InceptionResNetV2": 96,
        "Xception": 96,
        "NASNetMobile": 224,
        "VGG16": 224,
        "VGG19": 224,
    }
    size = sizes.get(name, 64)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    # nets that begin with their own scaling take values as those of pictures
    scale = 64 if name.startswith(("EfficientNet", "MobileNetV3", "ConvNeXt")) else 1
    x = np.random.default_rng(0).standard_normal((2, size, size, 3)) * scale
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(x, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        layer.moving_variance.assign(np.maximum(keras.ops.convert_to_numpy(layer.moving_variance), 1e-3))
    return model, x[:1]


def channels_first(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x


def normalise(layer, inputs, training=None, mask=None):
    """Batch normalisation in the precision of its input: Keras itself computes it in float32."""
    shape = [1] * len(inputs.shape)
    shape[layer.axis] = -1
    factor = 1 / (layer.moving_variance.value + layer.epsilon) ** 0.5
    factor = factor * layer.gamma.value if layer.scale else factor
    offset = layer.beta.value if layer.center else 0 * factor
    offset = offset - layer.moving_mean.value * factor
    return inputs * factor.reshape(shape) + offset.reshape(shape)
