"""ONNX files: networks of any framework in, ours out."""

from minicnn.formats.onnx.reader import read
from minicnn.formats.onnx.writer import write

__all__ = ["read", "write"]
