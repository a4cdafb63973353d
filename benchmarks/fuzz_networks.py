"""Valid files that hold whole networks, for fuzz_formats.py: ONNX graphs, Caffe descriptions and weights."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats import caffe, onnx
from minicnn.formats.containers.protobuf import Chunks, encode_integer, encode_message, encode_packed, encode_text
from minicnn.layers import (
    GELU,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Cat,
    Concat,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardswish,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Multiply,
    PReLU,
    ReflectionPad2d,
    ReLU6,
    Residual,
    Sigmoid,
    Slice,
    Softmax,
    Upsample,
)
from minicnn.network import Network

__all__ = ["caffe_texts", "caffe_weights", "onnx_files", "read_onnx", "reading_text", "reading_weights"]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


# ONNX


def onnx_files() -> list[bytes]:
    """Return a net as minicnn writes it, and a graph that computes constants from shapes."""
    chain = [
        ("conv", Conv2d(3, 4, 3)),
        ("mixed", Concat([BatchNorm2d(4)], [Residual([PReLU(4)])])),
        ("norm", LocalResponseNorm(4)),
        ("pool", MaxPool2d(2, ceil_mode=True)),
        ("mean", AvgPool2d(2, 1)),
        ("rows", Flatten()),
        ("fc", Linear(8, 2)),
        ("end", ReLU6()),
        ("prob", Softmax()),
    ]
    with tempfile.TemporaryDirectory() as folder:
        onnx.write(Path(folder) / "net.onnx", Network(chain, (3, 6, 6), labels=["a", "b"]))
        onnx.write(Path(folder) / "graph.onnx", Network(crossing(), (3, 6, 6)))
        return [*((Path(folder) / f"{name}.onnx").read_bytes() for name in ("net", "graph")), folding()]


def crossing() -> list[tuple[str, Layer]]:
    """Return layers whose paths cross, with activations, norms and joins of today's nets."""
    return [
        ("conv", Conv2d(3, 4, 3, padding=1)),
        ("gate", Sigmoid()),
        ("swish", Multiply(inputs=("conv", "gate"))),
        ("norm", GroupNorm(2, 4)),
        ("up", Upsample(scale_factor=2)),
        ("down", MaxPool2d(2)),
        ("cat", Cat(1, inputs=("down", "swish"))),
        ("hard", Hardswish()),
        ("part", Slice(1, 2, 6)),
        ("sum", Add(inputs=("part", "norm"))),
        ("gelu", GELU()),
        ("padded", ReflectionPad2d(1)),
        ("mean", GlobalAvgPool2d()),
        ("rows", Flatten()),
        ("fc", Linear(4, 2)),
    ]


def folding() -> bytes:
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "zero"], "n"),
        node("Unsqueeze", ["n", "axis"], "n1"),
        node("Concat", ["n1", "minus"], "target", ("axis", 0)),
        node("Pad", ["x", "pads"], "p"),
        node("Slice", ["pads", "axis", "minus"], "cut"),
        node("ConstantOfShape", ["axis"], "w"),
        node("Expand", ["w", "axis"], "e"),
        node("Mul", ["p", "e"], "d"),
        node("Conv", ["d", "k"], "c", ("group", 1)),
        node("Reshape", ["c", "target"], "y"),
    ]
    constants = {"zero": np.array(0), "axis": np.array([1]), "minus": np.array([-1]), "k": normal(2, 3, 1, 1)}
    constants["pads"] = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    graph = [chunk for part in nodes for chunk in encode_message(1, part)]
    graph += [chunk for item in constants.items() for chunk in encode_message(5, tensor(*item))]
    graph += [*encode_message(11, port("x", (0, 3, 4, 4))), *encode_message(12, encode_text(1, "y"))]
    return b"".join([*encode_integer(1, 8), *encode_message(7, graph), *encode_message(8, encode_integer(2, 17))])


def node(op: str, inputs: list[str], output: str, *attributes: tuple[str, int]) -> Chunks:
    chunks = [chunk for name in inputs for chunk in encode_text(1, name)]
    chunks += [*encode_text(2, output), *encode_text(4, op)]
    for name, value in attributes:
        chunks += encode_message(5, [*encode_text(1, name), *encode_integer(3, value), *encode_integer(20, 2)])
    return chunks


def tensor(name: str, array: np.ndarray) -> Chunks:
    kind = 1 if array.dtype == np.float32 else 7
    return [
        *encode_packed(1, array.shape),
        *encode_integer(2, kind),
        *encode_text(8, name),
        *encode_message(9, [array.tobytes()]),
    ]


def port(name: str, dims: tuple[int, ...]) -> Chunks:
    shape = [chunk for n in dims for chunk in encode_message(1, encode_integer(1, n))]
    return [
        *encode_text(1, name),
        *encode_message(2, encode_message(1, [*encode_integer(1, 1), *encode_message(2, shape)])),
    ]


def read_onnx(path: Path) -> dict[str, np.ndarray]:
    return onnx.read(path).state_dict()


# Caffe


def caffe_texts() -> list[bytes]:
    """One net in the words of today and of 2013."""
    new = """name: "net"
    layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 10 dim: 3 dim: 9 dim: 8 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 } }
    layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { eps: 1e-4 } }
    layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "norm" type: "LRN" bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 0.5 } }
    layer { name: "sum" type: "Eltwise" bottom: "norm" bottom: "conv" top: "sum" }
    layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool"
      pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
    layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 2 } }
    layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
    """
    old = """name: "net" input: "data" input_dim: 10 input_dim: 3 input_dim: 9 input_dim: 8
    layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 pad: 1 stride: 2 }
      bottom: "data" top: "conv" }
    layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
    layers { name: "pool" type: POOLING bottom: "conv" top: "pool"
      pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
    layers { name: "two" type: CONCAT bottom: "pool" bottom: "pool" top: "two" concat_param { concat_dim: 1 } }
    layers { name: "prob" type: SOFTMAX bottom: "two" top: "prob" }
    """
    return [new.encode(), old.encode()]


def caffe_weights() -> list[bytes]:
    """Weights for both, as they are written today and as they were in 2013."""
    arrays = {
        "conv": [normal(4, 3, 3, 3), normal(4)],
        "bn": [normal(4), np.abs(normal(4)), normal(1)],
        "scale": [normal(4), normal(4)],
        "fc": [normal(2, 24), normal(2)],
    }
    today = [
        chunk
        for name, parts in arrays.items()
        for chunk in encode_message(
            100, [*encode_text(1, name), *(c for a in parts for c in encode_message(7, blob(a)))]
        )
    ]
    then = [
        chunk
        for name, parts in arrays.items()
        for chunk in encode_message(
            2, [*encode_text(4, name), *(c for a in parts for c in encode_message(6, blob(a, True)))]
        )
    ]
    return [b"".join(today), b"".join(then)]


def blob(array: np.ndarray, old: bool = False) -> Chunks:
    sizes = (1, 1, 1, 1, *array.shape)[-4:]
    shape = [c for i, n in enumerate(sizes, 1) for c in encode_integer(i, n)]
    shape = shape if old else encode_message(7, encode_packed(1, array.shape))
    return [*shape, *encode_message(5, [array.tobytes()])]


def reading_text() -> Callable[[Path], dict[str, np.ndarray]]:
    """Return a reader of descriptions, with weights of today."""
    weights = kept(caffe_weights()[0])
    return lambda path: named(path, path, weights)


def reading_weights() -> Callable[[Path], dict[str, np.ndarray]]:
    """Return a reader of weights, with the description of today."""
    text = kept(caffe_texts()[0])
    return lambda path: named(path, text, path)


PARTNERS = []  # temporary files live as long as this list


def kept(data: bytes) -> Path:
    """Return the other of two files that belong together, as a temporary file."""
    file = tempfile.NamedTemporaryFile()
    PARTNERS.append(file)
    file.write(data)
    file.flush()
    return Path(file.name)


def named(attacked: Path, text: Path, weights: Path) -> dict[str, np.ndarray]:
    """Return the weights of the net; an error names one of the files, here always the attacked one too."""
    try:
        return caffe.read(text, weights).state_dict()
    except WeightsError as error:
        if str(text) not in str(error) and str(weights) not in str(error):
            raise AssertionError(f"neither file is named: {error}") from error
        raise WeightsError(f"{attacked}: {error}") from None
