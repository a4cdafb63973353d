"""The nets of keras.applications as tf2onnx writes them, and TensorFlow's answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from coverage_keras import channels_first, settled_keras


def tensorflow_files(name: str, folder: Path) -> Iterator[tuple[str, Path | Exception, dict]]:
    """Yield what tf2onnx writes of a net of keras.applications, and TensorFlow's own answers."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf
    import tf2onnx

    model, x = settled_keras(name)
    model.layers[-1].activation = tf.identity
    peer = tensorflow_peer(model, tf.constant(x)) | merged_rectifiers(model)
    path: Path | Exception = folder / f"{name}.onnx"
    try:
        signature = [tf.TensorSpec((1, *x.shape[1:]), x.dtype)]
        scores = tf.function(lambda x: model(x, training=False), input_signature=signature)
        tf2onnx.convert.from_function(scores, signature, opset=17, output_path=str(path))
    except Exception as error:
        path = error
    yield "ONNX, tf2onnx", path, peer


def merged_rectifiers(model) -> dict:
    """Return why guided maps can not be compared, where several rectifiers read one value and are written as one.

    The guided rule clips what comes back at each rectifier; at one for several it clips the sum.
    """
    inputs = [id(layer.input) for layer in model.layers if type(layer).__name__ in ("Activation", "ReLU")]
    merged = len(inputs) - len(set(inputs))
    return {"guided": f"{merged} of {len(inputs)} rectifiers merged"} if merged else {}


def tensorflow_peer(model, x) -> dict:
    import tensorflow as tf

    y = model(x, training=False)
    dy = np.random.default_rng(1).standard_normal(y.shape)

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(model(x, training=False) * dy)
        return tape.gradient(total, x)

    arrays = {"x": x, "y": y, "gradient": gradient()}
    seen = guide_rectifiers(tf)
    arrays["guided"] = gradient()
    arrays = {key: channels_first(value.numpy()) for key, value in arrays.items()}
    shown = {} if seen == {"relu"} else {"guided": f"has {', '.join(sorted(seen)) or 'no rectifier'}"}
    return arrays | {"dy": dy} | shown


def guide_rectifiers(tf) -> set[str]:
    """Let ReLU and ReLU6 go back by the guided rule from now on; return a set that gathers what is called."""
    seen: set[str] = set()

    def recorded(name: str, function):
        def call(*args, **kwargs):
            seen.add(name)
            return function(*args, **kwargs)

        return call

    def guided(function, top: float):
        @tf.custom_gradient
        def relu(x):
            return function(x), lambda dy: tf.where((x > 0) & (x < top), tf.maximum(dy, 0), tf.zeros_like(dy))

        return relu

    for name in ("silu", "swish", "gelu", "leaky_relu", "elu"):
        setattr(tf.nn, name, recorded(name, getattr(tf.nn, name)))
    tf.nn.relu = recorded("relu", guided(tf.nn.relu, np.inf))
    tf.nn.relu6 = recorded("relu", guided(tf.nn.relu6, 6.0))
    return seen
