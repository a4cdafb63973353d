"""How images become the inputs of ImageNet networks: the two conventions that most published weights follow."""

from __future__ import annotations

from minicnn.images import Preprocess

__all__ = ["CAFFE_MEAN", "VGG_MEAN", "caffe_preprocess", "torchvision_preprocess"]

CAFFE_MEAN = (104.00699, 116.66877, 122.67891)  # of Caffe's imagenet_mean.binaryproto, over all its pixels; BGR
VGG_MEAN = (103.939, 116.779, 123.68)  # of the VGG networks; BGR


def torchvision_preprocess(size: int = 224, resize: int = 256, interpolation: str = "bilinear") -> Preprocess:
    """torchvision's: RGB in 0..1, minus the mean, divided by the standard deviation of ImageNet's channels."""
    return Preprocess((size, size), resize, interpolation, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def caffe_preprocess(size: int, mean: tuple[float, float, float]) -> Preprocess:
    """Caffe's: BGR in 0..255 minus a mean pixel; files that come with a mean image replace it."""
    return Preprocess((size, size), 256, channels="BGR", scale=1.0, mean=mean)
