"""Caffe's files: descriptions (.prototxt) with weights (.caffemodel), and mean images (.binaryproto)."""

from minicnn.formats.caffe.blobs import read_mean
from minicnn.formats.caffe.reader import read

__all__ = ["read", "read_mean"]
