"""ONNX files: networks of any framework in, ours out."""

from minicnn.formats.onnx.reader import read

__all__ = ["read"]
